import { Nothing, Num, Sql, Table } from '../ui.js'
import { formatBytes, formatCount, formatMs, plural } from '../../units.js'
import { toolWords } from '../tool-words.js'
import { largestTable, notMeasured, type View } from '../view.js'

const Sentences = (props: { title: string; items: readonly string[]; none: string }) => (
  <>
    <h3>{props.title}</h3>
    {props.items.length === 0 ? (
      <Nothing>{props.none}</Nothing>
    ) : (
      <ul>
        {props.items.map((item) => (
          <li>{item}</li>
        ))}
      </ul>
    )}
  </>
)

const MOST_RELATIONS = 12

/** Where and how this was measured, so that it can be repeated, and what it does not say. */
export const EnvironmentSection = (props: { view: View }) => {
  const { recording } = props.view.report
  const { environment: env, passes } = recording
  const { timed } = props.view
  const warnings = [...recording.warnings, ...passes.flatMap((pass) => pass.warnings)]
  const { tool } = recording
  const facts: [string, string][] =
    env === null
      ? []
      : [
          ...(tool === null
            ? []
            : [['migrations', `${toolWords(tool)}; pending: ${tool.pendingBy}`] satisfies [string, string]]),
          ['PostgreSQL', `${env.postgres}, ${env.provider}, ${env.encoding}, collation ${env.collation}`],
          [
            'machine',
            `${env.os}, ${plural(env.cpus, 'CPU')}, ${formatBytes(env.memoryBytes)}${env.ci === null ? '' : `, ${env.ci}`}`,
          ],
          ['tool', `${env.tool}, Node ${env.node}`],
          [
            'data',
            `seed ${recording.seed}, :n is ${formatCount(recording.rows)}, ${largestTable(env)}, ${formatBytes(env.databaseBytes)} in all`,
          ],
          ['roles', `migration ${env.roles.migrate}, traffic ${env.roles.app}`],
          ['round trip', formatMs(env.roundTripMs)],
          ['copies', passes.map((pass) => `${pass.kind}: ${pass.copiedBy}`).join(', ') || 'none made'],
          [
            'settings',
            Object.entries(env.settings)
              .map(([name, value]) => `${name} = ${value}`)
              .join(', '),
          ],
        ]
  return (
    <>
      {env === null ? (
        <Nothing>Not measured: the run stopped before the database was there.</Nothing>
      ) : (
        <>
          <dl>
            {facts.map(([term, value]) => (
              <div>
                <dt>{term}</dt>
                <dd>{value}</dd>
              </div>
            ))}
            {timed === null ? null : (
              <div>
                <dt>sampler</dt>
                <dd>
                  {`every ${formatMs(timed.sampler.periodMs)}, ${plural(timed.sampler.polls, 'look')}, longest gap ${formatMs(timed.sampler.maxGapMs)}, server clock known to ± ${formatMs(timed.sampler.clockErrorMs)}`}
                </dd>
              </div>
            )}
          </dl>
          <h3>The command</h3>
          <Sql sql={env.commandLine} copy label="Command line" />
          <h3>Tables</h3>
          <Table
            label="Tables before the migration"
            head={['relation', 'rows here', 'rows in production', 'size here']}
            numeric={[1, 2, 3]}
          >
            <tbody>
              {env.relations.slice(0, MOST_RELATIONS).map((one) => (
                <tr>
                  <th scope="row">{one.relation}</th>
                  <Num text={formatCount(one.rows)} />
                  <Num
                    text={
                      Object.hasOwn(recording.productionRows, one.relation)
                        ? formatCount(recording.productionRows[one.relation] ?? null)
                        : 'not stated'
                    }
                  />
                  <Num text={formatBytes(one.bytes)} />
                </tr>
              ))}
            </tbody>
          </Table>
          {env.relations.length > MOST_RELATIONS ? (
            <p class="note">{`and ${env.relations.length - MOST_RELATIONS} smaller ones`}</p>
          ) : null}
        </>
      )}
      <Sentences title="Taken for granted" items={recording.assumptions} none="Nothing had to be assumed." />
      <Sentences title="Warnings about the measurement" items={warnings} none="None." />
      <Sentences title="Not measured" items={notMeasured(props.view)} none="" />
    </>
  )
}
