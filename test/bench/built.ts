/** The modules that are measured: as they are shipped (dist), with the types of their sources. */
const load = async <T>(path: string): Promise<T> =>
  (await import(new URL(`../../dist/${path}`, import.meta.url).href)) as T

export const { branches } = await load<typeof import('../../src/branches/index.js')>('branches/index.js')
export const { startClock, sleep } = await load<typeof import('../../src/clock.js')>('clock.js')
export const { startSampler } = await load<typeof import('../../src/observe/sampler.js')>('observe/sampler.js')
export const { judge } = await load<typeof import('../../src/judge/index.js')>('judge/index.js')
export const { renderers } = await load<typeof import('../../src/report/index.js')>('report/index.js')
export const { runSeed } = await load<typeof import('../../src/seeds/index.js')>('seeds/index.js')
export const { startTraffic } = await load<typeof import('../../src/traffic/engine.js')>('traffic/engine.js')
export const { Execution } = await load<typeof import('../../src/traffic/execution.js')>('traffic/execution.js')
export const { Random } = await load<typeof import('../../src/traffic/random.js')>('traffic/random.js')
export const { parseScript } = await load<typeof import('../../src/traffic/script.js')>('traffic/script.js')
export const { Session } = await load<typeof import('../../src/traffic/session.js')>('traffic/session.js')
export const { generatorHealth, trafficErrors, trafficRows, trafficSeries } =
  await load<typeof import('../../src/traffic/summary.js')>('traffic/summary.js')
export const { encodeField } = await load<typeof import('../../src/seeds/copy-text.js')>('seeds/copy-text.js')
export const { build, openRaw } = await load<typeof import('../../src/wire/client.js')>('wire/client.js')
export const { openProxy } = await load<typeof import('../../src/wire/proxy.js')>('wire/proxy.js')
