/** The style sheet. System fonts, one accent; red is kept for what is broken. Contrast is at least 4.5 to 1. */

const light = `
  --bg: #ffffff; --ground: #f5f6f8; --fg: #1a1e24; --muted: #57606a; --line: #d9dee4; --accent: #0a5fc4; --shade: #0a5fc414;
  --old: #5a6472; --red: #c41e2a; --red-ground: #c41e2a12; --amber: #8a5a00; --meets: #c98a12; --harmless: #aab3be; --green: #17703a;
  --strong: #1a1e24; --on-accent: #ffffff;`

const dark = `
  --bg: #101418; --ground: #191f26; --fg: #e4e8ed; --muted: #9aa5b1; --line: #2f3842; --accent: #6cb0ff; --shade: #6cb0ff1c;
  --old: #a7b1bd; --red: #ff7b76; --red-ground: #ff7b761a; --amber: #e3b04b; --meets: #cf9a35; --harmless: #5d6874; --green: #6fcf8e;
  --strong: #ffffff; --on-accent: #0b1016;`

const page = `
*, *::before, *::after { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth }
body { margin: 0; background: var(--bg); color: var(--fg); font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
main, footer, .top { max-width: 1100px; margin: 0 auto; padding: 0 20px }
.top { display: flex; gap: 6px 18px; align-items: center; padding-top: 14px; font-size: 13px; flex-wrap: wrap }
.top nav { display: flex; gap: 4px 16px; flex-wrap: wrap; flex: 1 }
a { color: var(--accent); text-decoration: none }
a:hover { text-decoration: underline }
.top nav a { color: var(--muted) }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px }
button { font: inherit; font-size: 12px; color: var(--fg); background: var(--bg); border: 1px solid var(--line); border-radius: 5px; padding: 2px 9px; cursor: pointer }
button:hover { border-color: var(--muted) }
[hidden] { display: none !important }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap }
h1, h2, h3 { line-height: 1.25; text-wrap: pretty }
h1 { font-size: 27px; font-weight: 600; letter-spacing: -0.01em; margin: 4px 0 10px }
h2 { font-size: 19px; font-weight: 600; margin: 0 0 14px }
h3 { font-size: 15.5px; font-weight: 600; margin: 22px 0 6px }
p { margin: 6px 0; max-width: 78ch }
ul { margin: 8px 0; padding-left: 22px; max-width: 88ch }
section { padding: 34px 0 0 }
footer { color: var(--muted); font-size: 13px; padding-top: 36px; padding-bottom: 40px }
small { font-size: 12px; color: var(--muted); display: block }
.note, .nothing, .meta, .facts, .eyebrow { color: var(--muted); font-size: 13px; max-width: none }
.nothing { font-size: 15px }
.muted, .null { color: var(--muted) }
td.null, .null { font-style: italic }
code, pre { font-family: ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 12.5px }
`

const verdict = `
.verdict { padding: 26px 0 10px }
.eyebrow { margin: 0 } .brand { font-weight: 600; color: var(--fg) } .run::before { content: "/ "; color: var(--muted) }
.verdict .word { white-space: nowrap; margin-right: 6px }
.verdict .headline { font-weight: 500 }
.verdict.fail .word { color: var(--red) } .verdict.pass .word { color: var(--green) }
.verdict.warn .word, .verdict.inconclusive .word { color: var(--amber) }
.stopped { border-left: 3px solid var(--amber); padding-left: 12px }
.sign { display: inline-block; width: 1.15em; font-weight: 700 }
.sign.fail { color: var(--red) } .sign.warn, .sign.inconclusive { color: var(--amber) } .sign.pass, .sign.ok { color: var(--green) }
.sign.info, .sign.none { color: var(--muted) }
.limits tr.fail td.strong { color: var(--red) } .limits tr.warn td.strong { color: var(--amber) }
.projected small { white-space: nowrap }
td.projected { font-style: italic }
.finding { border-left: 3px solid var(--line); padding: 2px 0 2px 18px; margin: 0 0 26px }
.finding.fail { border-color: var(--red) } .finding.warn, .finding.inconclusive { border-color: var(--meets) }
.finding h3 { margin: 0 0 2px; font-size: 16.5px }
.meta { display: flex; gap: 2px 14px; flex-wrap: wrap; margin: 0 0 8px }
p.projected { font-style: italic }
.sql { position: relative; margin: 10px 0 }
.sql pre { margin: 0; padding: 11px 14px; background: var(--ground); border-radius: 6px; overflow-x: auto; white-space: pre; max-height: 460px }
.sql .copy { position: absolute; top: 7px; right: 7px; z-index: 1 }
.advice .sql pre { border-left: 3px solid var(--accent) }
`

const tables = `
.scroll { overflow-x: auto; margin: 10px 0; position: relative;
  background: linear-gradient(90deg, var(--bg) 40%, transparent) 0 0 / 44px 100% local, linear-gradient(270deg, var(--bg) 40%, transparent) 100% 0 / 44px 100% local,
    linear-gradient(90deg, var(--line), transparent) 0 0 / 12px 100%, linear-gradient(270deg, var(--line), transparent) 100% 0 / 12px 100%; background-repeat: no-repeat }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; overflow-wrap: normal }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line) }
th:last-child, td:last-child { padding-right: 0 }
thead th { color: var(--muted); font-weight: 500; font-size: 12.5px; vertical-align: bottom }
tbody th { font-weight: 500 }
.n { text-align: right } td.n { white-space: nowrap } td.n small { font-weight: 400 } .n + :not(.n) { padding-left: 16px } td.n .null { white-space: nowrap }
.strong { font-weight: 600 }
td.place, td .place, th.place, .lock { white-space: nowrap }
.place { font-size: 12.5px; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }
tr.group th { padding-top: 16px; color: var(--muted); font-size: 12.5px; font-weight: 500 }
tr.migrate td { background: var(--shade) }
tr:target td { background: var(--shade) }
.statements { min-width: 1058px } .statements td, .short td { font-size: 13px }
.statements .what { min-width: 236px } .statements th, .statements td { padding-right: 11px } .statements .n + :not(.n) { padding-left: 6px } .statements .lock { white-space: normal }
.statements .what .place { white-space: normal; overflow-wrap: anywhere }
.statements .work { min-width: 150px }
details summary { cursor: pointer; color: var(--fg) } details summary code { color: var(--muted) }
details[open] summary code { visibility: hidden }
.bad { color: var(--red) }
.release { display: inline-block; min-width: 2.4em; font-size: 12px; font-weight: 600 } .release.old { color: var(--old) } .release.new { color: var(--accent) }
.compat { width: auto } .compat .yes { color: var(--green) } .compat .cell { min-width: 130px } .compat .no { color: var(--amber); font-weight: 600 }
.compat .broken { background: var(--red-ground) } .compat .broken .no { color: var(--red) }
.compat thead th { min-width: 130px; max-width: 220px }
.sentences { list-style: none; padding: 0 } .sentences li { padding-left: 1.15em; text-indent: -1.15em }
tbody th[scope="row"] { min-width: 120px } .limits tbody th { min-width: 170px; padding-left: 1.3em; text-indent: -1.3em } .limits .sign, .sentences .sign { text-indent: 0 }
.tree ul { padding-left: 20px; list-style: none; border-left: 1px solid var(--line); margin: 2px 0 2px 6px; font-size: 14px }
.tree > ul { border: 0; padding-left: 0; margin-left: 0 }
.tree .who { font-weight: 500 }
dl { margin: 0; font-size: 14px } dl > div { display: flex; gap: 16px; padding: 5px 0; border-bottom: 1px solid var(--line) }
dt { color: var(--muted); flex: 0 0 110px } dd { margin: 0; min-width: 0 }
`

const tool = `
.exit { font-weight: 600 } .exit.bad { color: var(--red) }
.tool-notes { list-style: none; padding: 0 } .tool-notes li { padding: 0 0 10px 1.15em; text-indent: -1.15em } .tool-notes .sign { text-indent: 0 } .tool-notes small { text-indent: 0; font-size: 13px }
.messages { min-width: 820px; table-layout: fixed; margin-bottom: 0 } .messages td { font-size: 13px; padding-top: 4px; padding-bottom: 4px }
.messages .bars { width: calc(14px * var(--lanes) + 10px); padding: 0; position: relative; height: 1px }
.messages .c-at { width: 74px } .messages .c-took { width: 74px } .messages .c-session { width: 66px } .messages .c-role { width: 104px } .messages .c-end { width: 220px }
.messages code { white-space: pre-wrap; overflow-wrap: anywhere } .messages td .place { white-space: normal; overflow-wrap: anywhere } .messages .own code { color: var(--muted) }
.bars i { position: absolute; top: 0; bottom: 0; width: 8px; border-left: 3px solid var(--accent) }
.bars .start { top: 50%; border-top: 3px solid var(--accent) } .bars .end { bottom: 50%; border-bottom: 3px solid var(--accent) }
.bars .whole { top: 22%; bottom: 22%; border-top: 3px solid var(--accent); border-bottom: 3px solid var(--accent) }
.bars .broken { border-color: var(--red); border-left-style: dotted } .bars .broken.end { border-bottom-style: dotted }
.more { margin: 4px 0 } .more > summary { padding: 6px 0 }
.race-run { fill: var(--accent) } .race-run.broken { fill: var(--red) } svg .race-words { font-size: 12px }
.race svg { display: block; width: 100%; height: auto; min-width: 640px }
`

const chart = `
.chart svg { display: block; width: 100%; min-width: 760px; height: auto; font-size: 12px }
svg text { fill: var(--fg) } svg .unit, svg .tick, svg .mode, svg .phase-name { fill: var(--muted) } svg .unit { font-size: 11px }
svg .lane { font-weight: 600; font-size: 12.5px } svg .tick { font-size: 11px } svg .mode { font-size: 10.5px } svg .row-name { font-size: 11.5px }
.rule, .grid, .axis-tick { stroke: var(--line) } .grid { opacity: .7 }
.phase { fill: var(--ground) } .phase.odd { fill: var(--line); opacity: .6 } .phase.migrate { fill: var(--accent); opacity: .22 }
.phase-line { stroke: var(--muted); stroke-dasharray: 2 3; opacity: .6 }
.shade { fill: var(--shade) }
.statement { fill: var(--accent) } .statement.broken { fill: var(--red) } svg .number { font-size: 11.5px; font-weight: 600 } svg .number.in { fill: var(--on-accent) }
.waiting { stroke: var(--old); stroke-width: .7 } .hatch-ground { fill: var(--bg) } .hatch-line { fill: var(--old) }
.held { fill: var(--harmless) } .held.meets { fill: var(--meets) } .held.over { fill: var(--red) } .possible { opacity: .4 }
.bar:hover rect, .bar.here rect { filter: brightness(1.12) } .bar:focus { outline: none } .bar:focus-visible rect { stroke: var(--fg); stroke-width: 2 }
.curve { fill: none; stroke-linecap: round; stroke-linejoin: round } .curve.old { stroke: var(--old) } .curve.new { stroke: var(--accent) }
.curve.worst { stroke-width: 2 } .curve.p50 { stroke-width: 1.2 } .curve.scheduled { stroke-width: 1; stroke-dasharray: 1 3 }
.limit { stroke-dasharray: 5 4 } .limit.warn { stroke: var(--meets) } .limit.fail { stroke: var(--red) }
svg .limit-text { font-size: 10.5px; paint-order: stroke; stroke: var(--bg); stroke-width: 3px } svg .limit-text.warn { fill: var(--amber) } svg .limit-text.fail { fill: var(--red) }
.blocked { fill: var(--meets); opacity: .85 } .failed { fill: var(--fg) } .failed.broken { fill: var(--red) } .dropped { fill: var(--meets) }
.hidden-error { fill: none; stroke: var(--old) }
.cross { stroke: var(--fg); stroke-width: 1; opacity: .6; pointer-events: none }
.readout { min-height: 3.1em; font-size: 12.5px; max-width: none; color: var(--muted); margin: 2px 0 }
.legend { display: flex; flex-wrap: wrap; gap: 3px 20px; list-style: none; padding: 0; font-size: 13px; max-width: none }
.swatch { display: inline-block; width: 18px; height: 10px; margin-right: 7px; border-radius: 1px }
.s-statement { background: var(--accent) } .s-held { background: var(--harmless) } .s-meets { background: var(--meets) } .s-over { background: var(--red) }
.s-waiting { border: 1px solid var(--old); background: repeating-linear-gradient(135deg, var(--old) 0 2px, transparent 2px 5px) }
.s-old { height: 2px; vertical-align: middle; background: var(--old) } .s-new { height: 2px; vertical-align: middle; background: var(--accent) }
.s-thin { height: 5px; vertical-align: middle; border-top: 1px solid var(--fg); border-bottom: 2px solid var(--fg) }
.s-blocked { background: var(--meets); opacity: .85; height: 7px } .s-hidden { border: 1px solid var(--old); height: 7px }
`

const media = `
@media (max-width: 640px) {
  body { font-size: 15px } main, footer, .top { padding-left: 14px; padding-right: 14px }
  h1 { font-size: 22px } section { padding-top: 28px } dl > div { display: block } .copy:not([hidden]) + pre { padding-top: 38px } .verdict { padding-top: 18px }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto } }
@media print {
  .top, .copy, .readout { display: none !important } body { font-size: 11px } main { max-width: none } section { break-inside: auto; padding-top: 18px }
  h2, h3 { break-after: avoid } tr, .finding, .chart { break-inside: avoid } .scroll { overflow: visible }
  .statements, .messages, .chart svg { min-width: 0 } .statements td, .statements th { font-size: 8px; white-space: normal; min-width: 0; padding-right: 5px }
  .sql pre { white-space: pre-wrap; max-height: none } a { color: inherit }
}
`

export const STYLE = `:root { color-scheme: light; ${light} }
@media (prefers-color-scheme: dark) { :root:not([data-theme="light"]) { color-scheme: dark; ${dark} } }
:root[data-theme="dark"] { color-scheme: dark; ${dark} }
@media print { :root, :root[data-theme="dark"] { color-scheme: light; ${light} } }
${page}${verdict}${tables}${tool}${chart}${media}`
