/**
 * The only script of the page: theme button, copy buttons, crosshair with values. Nothing depends on it. It writes text
 * through textContent only, and the page's Content-Security-Policy admits exactly this text by its hash.
 */
export const SCRIPT = `(() => {
  const doc = document, root = doc.documentElement
  const all = (selector, from) => Array.from((from || doc).querySelectorAll(selector))
  const remember = (value) => { try { if (value) localStorage.setItem('rehearse-theme', value); return localStorage.getItem('rehearse-theme') } catch { return value } }

  const button = doc.getElementById('theme'), themes = ['auto', 'light', 'dark']
  const paint = (theme) => {
    if (theme === 'auto') root.removeAttribute('data-theme'); else root.setAttribute('data-theme', theme)
    button.textContent = 'Theme: ' + theme
    button.value = theme
  }
  const saved = remember()
  paint(themes.includes(saved) ? saved : 'auto')
  button.hidden = false
  button.addEventListener('click', () => {
    const next = themes[(themes.indexOf(button.value) + 1) % 3]
    paint(next)
    remember(next)
  })

  for (const copy of all('.copy')) {
    copy.hidden = false
    copy.addEventListener('click', async () => {
      const code = copy.parentNode.querySelector('code')
      try { await navigator.clipboard.writeText(code.textContent); copy.textContent = 'Copied' }
      catch { getSelection().selectAllChildren(code); copy.textContent = 'Selected' }
      setTimeout(() => { copy.textContent = 'Copy' }, 1500)
    })
  }

  const ms = (v) => v < 10 ? v.toFixed(1) + ' ms' : v < 1000 ? Math.round(v) + ' ms' : (v / 1000).toFixed(2) + ' s'
  for (const chart of all('.chart')) {
    const svg = chart.querySelector('svg'), cross = svg.querySelector('.cross'), out = chart.nextElementSibling
    const get = (name) => Number(svg.getAttribute('data-' + name))
    const from = get('from'), to = get('to'), left = get('left'), right = get('right'), bucket = get('bucket')
    const columns = all('[data-v]', svg).map((path) => ({ name: path.getAttribute('data-k'), unit: path.getAttribute('data-u'), values: path.getAttribute('data-v').split(',') }))
    const bars = all('.bar', svg).map((bar) => ({ bar, a: Number(bar.getAttribute('data-a')), b: Number(bar.getAttribute('data-b')), text: bar.getAttribute('aria-label').split(/, (?=held|waited|[0-9])/)[0] }))
    let now = from
    out.hidden = false
    out.textContent = 'Point at the drawing, or focus it and use the arrow keys, to read values.'
    const show = (time) => {
      now = Math.max(from, Math.min(to, time))
      const x = left + (right - left) * (now - from) / (to - from), near = (to - from) / (right - left) * 2
      cross.setAttribute('x1', x)
      cross.setAttribute('x2', x)
      cross.setAttribute('visibility', 'visible')
      const parts = ['at ' + (now / 1000).toFixed(to - from < 5000 ? 4 : 2) + ' s']
      for (const column of columns) {
        const value = column.values[Math.floor(now / bucket)]
        if (value) parts.push(column.name + ' ' + (column.unit === 'ms' ? ms(Number(value)) : Math.round(value) + column.unit))
      }
      for (const one of bars) {
        const here = now >= one.a - near && now <= one.b + near
        one.bar.classList.toggle('here', here)
        if (here) parts.push(one.text)
      }
      out.textContent = parts.join('  ·  ')
      return x
    }
    svg.addEventListener('pointermove', (event) => {
      const box = svg.getBoundingClientRect(), x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width
      if (x >= left && x <= right) show(from + (to - from) * (x - left) / (right - left))
    })
    chart.addEventListener('keydown', (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
      if (!step || event.altKey || event.ctrlKey || event.metaKey) return
      event.preventDefault()
      const x = show(now + step * (event.shiftKey ? 10 : 1) * (bucket || (to - from) / 200)) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width
      if (x < chart.scrollLeft || x > chart.scrollLeft + chart.clientWidth) chart.scrollLeft = x - chart.clientWidth / 2
    })
  }
})()
`

/** Base64 SHA-256 of SCRIPT, for the policy; a test computes it anew. */
export const SCRIPT_HASH = 'xRo7U5EqlrhZVKnuBuO5zLU4c4lnxayNGw9odW42ZHA='
