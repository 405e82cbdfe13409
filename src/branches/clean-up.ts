/**
 * Cleaning up after a rehearsal that cannot do it itself. One shell script serves three callers: the watchdog when we
 * are killed, our own exit, and the sweep of the next run.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { cleanEnvironment, run } from './child.js'
import { OURSELVES } from './user.js'

/**
 * `$1` is the run directory. Its random name finds our processes even before a postmaster.pid exists, and only ours:
 * the program must be one of those that we start. The data is of no use to anybody, so servers are stopped with QUIT.
 * What the user's migration tool started is found by the mark in its environment (see migrations/child), and by the
 * files of `recordChild`; it is killed before the servers, so that it does not report their end.
 */
const CLEAN_UP = String.raw`
name="/$(basename "$1")/"
ours() {
  if [ -r /proc/self/cmdline ]; then
    grep -lsF -- "$name" /proc/[0-9]*/cmdline | while IFS=/ read -r _ _ pid _; do
      program=$( (tr '\0' '\n' < "/proc/$pid/cmdline" | head -n 1) 2> /dev/null)
      case "\${program##*/}" in postgres | initdb | cp) echo "$pid" ;; esac
    done
  else
    ps -axww -o pid=,command= | grep -F -- "$name" | while read -r pid command; do
      case "$command" in */postgres\ -D\ * | */initdb\ * | cp\ * | */cp\ *) echo "$pid" ;; esac
    done
  fi
}
started() {
  if [ -r /proc/self/stat ]; then
    sed -n 's/.*) \([^ZX] \)/\1/p' "/proc/$1/stat" 2> /dev/null | cut -d ' ' -f 20
  else
    ps -o lstart= -p "$1"
  fi
}
children() {
  [ ! -r /proc/self/environ ] || grep -lsF -- "REHEARSE_CHILD=$1/" /proc/[0-9]*/environ | while IFS=/ read -r _ _ pid _; do
    echo "$pid"
  done
  for file in "$1"/child-*; do
    [ -f "$file" ] || continue
    pid=\${file##*-}
    [ -s "$file" ] && [ "$(echo $(started "$pid"))" = "$(echo $(cat "$file"))" ] && echo "-$pid"
  done
}
clean_up() {
  stopped=no
  for signal in QUIT KILL; do
    turn=0
    while [ $turn -lt 25 ]; do
      tools=$(children "$1")
      [ -z "$tools" ] || kill -s KILL -- $tools 2> /dev/null
      pids=$(ours)
      [ -n "$pids$tools" ] || break
      stopped=yes
      [ $turn -gt 0 ] || [ -z "$pids" ] || kill -s $signal $pids 2> /dev/null
      sleep 0.1
      turn=$((turn + 1))
    done
  done
  rm -rf -- "$1"
  echo "stopped=$stopped"
}
`.replaceAll('\\$', '$')

/**
 * Waits for the word `done`, or for the end of the pipe, which comes when its only other holder is gone. Files that we
 * inherited from whoever started us (a lock, a job server) are closed first.
 */
const WATCH = `${CLEAN_UP}
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
read -r word
[ "$word" = done ] || clean_up "$1"
`

const arguments_ = (script: string, directory: string): string[] => ['-c', script, 'rehearse-watchdog', directory]

export interface Watchdog {
  readonly pid: number
  /** Tells the watchdog that everything was cleaned up, and waits until it has ended. */
  dismiss(): Promise<void>
}

/**
 * Starts a process in a session of its own that cleans the run directory up as soon as we are gone, whatever the
 * reason. It does not keep us alive, and holds no file of ours but the reading end of the pipe.
 */
export function startWatchdog(directory: string): Watchdog {
  const child: ChildProcess = spawn('/bin/sh', arguments_(WATCH, directory), {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: '/',
    env: cleanEnvironment(),
  })
  const pipe = child.stdin
  child.on('error', () => undefined)
  pipe?.on('error', () => undefined)
  child.unref()
  if (pipe instanceof Socket) pipe.unref()
  return {
    pid: child.pid ?? 0,
    async dismiss() {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
      const ended = once(child, 'exit')
      child.ref()
      pipe?.end('done\n')
      await ended
    },
  }
}

/** Stops what still runs below the directory and removes it. Returns whether a process had to be stopped. */
export async function cleanUp(directory: string): Promise<boolean> {
  const { output } = await run('/bin/sh', arguments_(`${CLEAN_UP}\nclean_up "$1"`, directory), OURSELVES)
  return output.includes('stopped=yes')
}

/** The same without giving the event loop a turn, for the `exit` event. */
export function cleanUpNow(directory: string): void {
  spawnSync('/bin/sh', arguments_(`${CLEAN_UP}\nclean_up "$1"`, directory), {
    stdio: 'ignore',
    cwd: '/',
    env: cleanEnvironment(),
  })
}
