/** Small programs for tests, written into a folder and started there. */

/** Postgres.js with parameters on one route, pg without on another, and a prepared statement. */
const SERVER = `import { writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import pg from 'pg'
import postgres from 'postgres'

writeFileSync('server.json', JSON.stringify(process.env))
// A habit of production that leads elsewhere; the guard refuses it.
net.connect(5432, 'db.production.example').on('error', () => undefined)
const sql = postgres(process.env.APP_DB, { max: 2, onnotice: () => undefined })
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 2 })
pool.on('error', () => undefined)
const routes = {
  '/user': () => sql\`select id, email from users where id = \${1 + Math.floor(Math.random() * 10)}\`,
  '/orders': async () => {
    await pool.query('select 1')
    await pool.query(\`select count(*) from orders where total > \${Math.floor(Math.random() * 1000)}\`)
  },
  '/total': () => pool.query({ name: 'total', text: 'select * from totals where id = $1', values: [1] }),
}
http
  .createServer(async (request, response) => {
    try {
      await routes[request.url]()
      response.end('ok')
    } catch {
      response.statusCode = 500
      response.end('failed')
    }
  })
  .listen(Number(process.env.PORT), '127.0.0.1')
`

/** Asks one route after the other until it is stopped, on a few connections at once. */
const LOAD = `import { writeFileSync } from 'node:fs'

writeFileSync('load.json', JSON.stringify(process.env))
const ask = async (path) => {
  for (;;) {
    await fetch(\`http://127.0.0.1:\${process.env.PORT}\${path}\`).then(
      (response) => response.text(),
      () => new Promise((resolve) => setTimeout(resolve, 50)),
    )
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
await Promise.all(['/user', '/orders', '/total'].map(ask))
`

/** Three statements in a transaction. */
const SUITE = `import postgres from 'postgres'

const sql = postgres(process.env.DATABASE_URL)
await sql.begin((tx) => tx\`select total from orders where id = \${1}\`)
await sql.end()
`

export const PROGRAMS = { 'server.mjs': SERVER, 'load.mjs': LOAD, 'suite.mjs': SUITE } as const
