/**
 * The application's pool: the sessions of one release that are free, and who waits for one. First come, first served; a
 * request that waits longer than the pool permits gives up.
 */
import type { Clock } from '../clock.js'
import type { Session } from './session.js'

export interface Waiter {
  granted(session: Session): void
  gaveUp(): void
}

interface Waiting {
  waiter: Waiter
  deadlineMs: number
}

export class Pool {
  readonly #clock: Clock
  readonly #timeoutMs: number | null
  /** Used in turn, so that every session sees the same mix. Empty while anybody waits. */
  readonly #free: Session[] = []
  #queue: Waiting[] = []
  #head = 0
  #timer: NodeJS.Timeout | null = null
  #longest = 0

  /** `timeoutMs` null: as long as it takes. */
  constructor(clock: Clock, timeoutMs: number | null) {
    this.#clock = clock
    this.#timeoutMs = timeoutMs
  }

  get waiting(): number {
    return this.#queue.length - this.#head
  }

  /** Longest queue since it was last asked. */
  takeLongest(): number {
    const longest = this.#longest
    this.#longest = this.waiting
    return longest
  }

  /** The session that has been free for longest; null when there is none. */
  take(): Session | null {
    return this.#free.shift() ?? null
  }

  /** Goes to the end of the queue. The time limit counts from `sinceMs`. */
  wait(waiter: Waiter, sinceMs: number): void {
    const timeoutMs = this.#timeoutMs
    // Never before the one in front: so the head is always the next to give up, and one timer is enough.
    const deadlineMs =
      timeoutMs === null ? Infinity : Math.max(sinceMs + timeoutMs, this.#queue.at(-1)?.deadlineMs ?? -Infinity)
    this.#queue.push({ waiter, deadlineMs })
    this.#longest = Math.max(this.#longest, this.waiting)
    if (timeoutMs !== null) this.#arm()
  }

  /** A session is free (again): the first who waits gets it. */
  give(session: Session): void {
    if (this.#timeoutMs !== null) this.#expire()
    const first = this.#shift()
    if (first) first.waiter.granted(session)
    else this.#free.push(session)
  }

  /** Takes everybody out of the queue for whom `which` is true, without telling them. */
  remove(which: (waiter: Waiter) => boolean): Waiter[] {
    const all = this.#queue.slice(this.#head)
    this.#head = 0
    this.#queue = all.filter(({ waiter }) => !which(waiter))
    return all.flatMap(({ waiter }) => (which(waiter) ? [waiter] : []))
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
  }

  #shift(): Waiting | null {
    const first = this.#queue[this.#head]
    if (!first) return null
    this.#head++
    if (this.#head === this.#queue.length) {
      this.#queue = []
      this.#head = 0
    } else if (this.#head > 1024 && this.#head * 2 > this.#queue.length) {
      // Keeps taking from the front cheap without moving the whole queue each time.
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
    return first
  }

  #expire(): void {
    const nowMs = this.#clock.nowMs()
    while ((this.#queue[this.#head]?.deadlineMs ?? Infinity) <= nowMs) this.#shift()?.waiter.gaveUp()
  }

  /** One timer for the head. When the head is served in time it fires for nothing, which costs less than setting it anew. */
  #arm(): void {
    const head = this.#queue[this.#head]
    if (this.#timer || !head) return
    // Timers count whole milliseconds and may fire a little early.
    const delayMs = Math.max(1, Math.ceil(head.deadlineMs - this.#clock.nowMs()))
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#expire()
      this.#arm()
    }, delayMs)
  }
}
