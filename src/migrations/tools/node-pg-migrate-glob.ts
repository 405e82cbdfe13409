/** The part of glob patterns that folders of migrations are named with. Pure. */

/** `**`, `*`, `?`, `[abc]`, `{a,b}`; as usual none of them but `[...]` stands for a dot at the beginning of a name. */
export function asGlob(pattern: string): RegExp {
  let source = ''
  let depth = 0
  for (let at = 0; at < pattern.length; at++) {
    const c = pattern[at] ?? ''
    const atStart = at === 0 || pattern[at - 1] === '/'
    const noDot = atStart ? '(?!\\.)' : ''
    if (atStart && pattern.startsWith('**/', at)) {
      source += '(?:(?!\\.)[^/]+/)*'
      at += 2
    } else if (c === '*') source += `${noDot}[^/]*`
    else if (c === '?') source += `${noDot}[^/]`
    else if (c === '[' && pattern.indexOf(']', at + 2) !== -1) {
      const close = pattern.indexOf(']', at + 2)
      source += `[${pattern
        .slice(at + 1, close)
        .replace(/^!/, '^')
        .replaceAll('\\', '\\\\')}]`
      at = close
    } else if (c === '{' && pattern.indexOf('}', at) !== -1) {
      source += '(?:'
      depth++
    } else if (c === '}' && depth > 0) {
      source += ')'
      depth--
    } else if (c === ',' && depth > 0) source += '|'
    else source += c.replace(/[\\^$.|?*+()[\]{}]/, '\\$&')
  }
  return new RegExp(`^${source}$`)
}

/** The folder before the first special character, which holds everything that the pattern can match. */
export function globBase(pattern: string): string {
  const special = pattern.search(/[*?[{]/)
  const fixed = special === -1 ? pattern : pattern.slice(0, special)
  return fixed.slice(0, fixed.lastIndexOf('/')) || '/'
}
