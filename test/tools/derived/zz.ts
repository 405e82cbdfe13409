import { startServer } from '../../support/postgres.js'
import { build, empty } from './build.js'
import { connect } from '../../../src/pg/connect.js'
import { readShape, samplePools, valueMaker } from '../../../src/values/index.js'
import { fillFromSchema } from '../../../src/seeds/generated/index.js'
import { Random } from '../../../src/traffic/random.js'
export async function go() {
    const s = await startServer({ fill: async (admin, branch) => {
      await build(admin, '/tmp/schemas/hatchet'); await empty(admin)
      const a = connect(branch.address('admin'), { applicationName: 'x' }), b = connect(branch.address('admin'), { applicationName: 'y' })
      const shape = await readShape(a)
      await fillFromSchema({ owner: a, admin: b, shape, rows: 20, seedNumber: 1 })
      const pools = await samplePools(a, shape, { seedNumber: 1 })
      const maker = valueMaker(shape, pools, { seedNumber: 1 })
      const t = shape.tables.find((x) => x.name === 'WorkflowConcurrency')!
      console.log(JSON.stringify(t, null, 1).slice(0, 6000))
      for (let i = 0; i < 12; i++) { try { console.log(maker.row(t, new Random(i))) } catch (e) { console.log(String(e)) } }
      await a.end(); await b.end()
    } })
    await s.stop()
}
