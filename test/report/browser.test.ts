/** The page in a real browser. Without Chromium these tests are skipped by name; in CI its absence fails them. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderers } from '../../src/report/index.js'
import * as make from '../fixtures/make.js'

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium'
const missing = !existsSync(CHROMIUM)
const inCi = (process.env['CI'] ?? '') !== ''
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
]
const why = missing ? ` (skipped: no Chromium at ${CHROMIUM})` : ''

describe.skipIf(missing && !inCi)(`the HTML report in a browser${why}`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'rehearse-html-'))
  let browser: Browser
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGS })
  })
  afterAll(async () => {
    // Not started when Chromium is missing in CI.
    await (browser as Browser | undefined)?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  interface Seen {
    page: Page
    errors: string[]
    requests: string[]
  }
  const open = async (
    name: keyof typeof make,
    options: BrowserContextOptions,
    look: (seen: Seen) => Promise<void>,
  ): Promise<void> => {
    const file = join(folder, `${name}.html`)
    writeFileSync(file, renderers.html(make[name]()))
    const context = await browser.newContext(options)
    try {
      const page = await context.newPage()
      const seen: Seen = { page, errors: [], requests: [] }
      page.on('console', (message) => seen.errors.push(message.text()))
      page.on('pageerror', (error) => seen.errors.push(String(error)))
      page.on('request', (request) => seen.requests.push(request.url()))
      await page.goto(pathToFileURL(file).href)
      await look(seen)
      expect(seen.errors).toEqual([])
      expect(seen.requests.filter((url) => url !== pathToFileURL(file).href && !url.startsWith('data:'))).toEqual([])
    } finally {
      await context.close()
    }
  }
  const wide = { viewport: { width: 1280, height: 900 } }
  const phone = { viewport: { width: 390, height: 844 } }
  const names = Object.keys(make) as (keyof typeof make)[]

  it.each(names)('%s: no error, no request, no sideways scrolling on a phone', async (name) => {
    await open(name, phone, async ({ page }) => {
      const [content, window] = await page.evaluate<[number, number]>(
        '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
      )
      expect(content).toBeLessThanOrEqual(window)
      expect(await page.evaluate('globalThis.pwned')).toBeUndefined()
    })
  })

  it('has every section without JavaScript', async () => {
    await open('failReport', { ...wide, javaScriptEnabled: false }, async ({ page }) => {
      expect(await page.locator('section h2').allTextContents()).toEqual([
        'Limits',
        'Findings',
        'Timeline',
        'Statements',
        'Strongest lock per relation',
        'Blocked sessions',
        'Old and new release on every state of the schema',
        'Queries before and after',
        'Data',
        'Rollback',
        'Traffic',
        'How this was measured',
      ])
      expect(await page.locator('#timeline svg').count()).toBe(2)
      expect(await page.locator('#theme').isVisible()).toBe(false)
      expect(await page.locator('.copy:visible').count()).toBe(0)
      const details = page.locator('#statements details').first()
      await details.locator('summary').click()
      expect(await details.locator('pre').isVisible()).toBe(true)
    })
  })

  it.each(['hostileReport', 'hostileToolReport'] as const)('runs nothing of %s', async (name) => {
    await open(name, wide, async ({ page }) => {
      expect(await page.evaluate('globalThis.pwned')).toBeUndefined()
      expect(await page.locator('img').count()).toBe(0)
      expect(await page.locator('script').count()).toBe(1)
    })
  })

  it('has the sections of a migration tool without JavaScript, its long lists folded', async () => {
    await open('raceReport', { ...wide, javaScriptEnabled: false }, async ({ page }) => {
      const titles = await page.locator('section h2').allTextContents()
      expect(titles.slice(3, 6)).toEqual(['Statements', 'How the tool ran it', 'Two migrators at once'])
      expect(await page.locator('#race svg .race-run').count()).toBe(2)
      // The bracket of the transaction is drawn without gaps, from begin to commit.
      const boxes = await Promise.all(
        (await page.locator('#tool .bars i').all()).map(async (piece) => await piece.boundingBox()),
      )
      expect(boxes).toHaveLength(4)
      boxes.slice(1).forEach((box, i) => {
        const before = boxes[i]
        expect(Math.abs((box?.y ?? 0) - ((before?.y ?? 0) + (before?.height ?? 0)))).toBeLessThan(2.5)
        expect(box?.x).toBe(before?.x)
      })
    })
  })

  it('changes the theme, copies SQL and reads values under the pointer and by keyboard', async () => {
    await open('failReport', { ...wide, permissions: ['clipboard-read', 'clipboard-write'] }, async ({ page }) => {
      const ground = (): Promise<string> => page.evaluate('getComputedStyle(document.body).backgroundColor')
      expect(await ground()).toBe('rgb(255, 255, 255)')
      await page.locator('#theme').click()
      await page.locator('#theme').click()
      expect(await page.locator('#theme').textContent()).toBe('Theme: dark')
      expect(await ground()).not.toBe('rgb(255, 255, 255)')

      await page.locator('.advice .copy').first().click()
      await expect.poll(() => page.locator('.advice .copy').first().textContent()).toMatch(/Copied|Selected/)

      const chart = page.locator('.chart').first()
      await chart.scrollIntoViewIfNeeded()
      const box = await chart.boundingBox()
      if (box === null) throw new Error('the timeline has a place')
      await page.mouse.move(box.x + box.width * 0.62, box.y + 150)
      const readout = page.locator('[data-readout]').first()
      const before = await readout.textContent()
      expect(before).toMatch(/^at \d+\.\d\d s .*old max/)
      await chart.focus()
      await page.keyboard.press('ArrowRight')
      expect(await readout.textContent()).not.toBe(before)
    })
  })

  const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  interface AxeResult {
    violations: { id: string; impact: string; nodes: { html: string }[] }[]
  }
  it.each(
    (
      ['failReport', 'renameReport', 'passReport', 'interruptedReport', 'drizzleReport', 'nodePgMigrateReport'] as const
    ).flatMap((name) => (['light', 'dark'] as const).map((colorScheme) => ({ name, colorScheme }))),
  )('$name, $colorScheme: axe finds nothing serious', async ({ name, colorScheme }) => {
    await open(name, { ...wide, colorScheme }, async ({ page }) => {
      // evaluate() is not subject to the page's policy, a script element would be.
      await page.evaluate(axe)
      const result = await page.evaluate<AxeResult>('axe.run()')
      const serious = result.violations
        .filter((one) => one.impact === 'serious' || one.impact === 'critical')
        .map(
          (one) =>
            `${one.id}: ${one.nodes
              .map((node) => node.html.slice(0, 140))
              .slice(0, 3)
              .join(' ')}`,
        )
      expect(serious).toEqual([])
    })
  })
})
