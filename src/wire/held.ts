/** The client's messages that wait for their turn, and which of them belong to what is under way. */
import { FrameReader, MalformedFrame, type Frame } from './frames.js'
import type { Link } from './link.js'
import type { Recorder } from './recorder.js'
import { nameOf } from './session.js'

/** More of the client's messages than this are not read ahead. */
const HELD_BYTES = 4 * 2 ** 20

export class Held {
  readonly #link: Link
  readonly #frames: Frame[] = []
  #bytes = 0
  #wake: (() => void) | null = null

  constructor(link: Link) {
    this.#link = link
  }

  get frames(): readonly Frame[] {
    return this.#frames
  }

  get isFull(): boolean {
    return this.#bytes > HELD_BYTES
  }

  put(frame: Frame): void {
    this.#frames.push(frame)
    this.#bytes += frame.bytes.length
    if (this.isFull) this.#link.hold('interposer')
  }

  take(): Frame | null {
    const frame = this.#frames.shift() ?? null
    this.#bytes -= frame?.bytes.length ?? 0
    if (!this.isFull) this.#link.release('interposer')
    return frame
  }

  /** Resolves at the next `wake`. One caller at a time. */
  async more(): Promise<void> {
    await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#wake = null
  }

  wake(): void {
    this.#wake?.()
  }
}

/** Lets through what belongs to one exchange: a batch up to its Sync, one that copies data in up to the Sync behind them. */
export class Gate {
  readonly #recorder: Recorder
  readonly #isSimple: boolean
  #isOpen = true
  #hasCopyEnded = false
  #isReopened = false

  constructor(first: Frame, recorder: Recorder) {
    this.#recorder = recorder
    this.#isSimple = first.type === 'Q'
    this.admits(first)
  }

  /** Whether the client's next message is part of the exchange; it counts as sent then. */
  admits({ type }: Frame): boolean {
    const { isCopyingIn, isSkipping } = this.#recorder
    if ('dcf'.includes(type)) {
      this.#hasCopyEnded = type !== 'd'
      if (this.#hasCopyEnded && this.#isReopened) this.#isOpen = true
      return true
    }
    if (isCopyingIn && 'SH'.includes(type)) return true
    if (!this.#isOpen && !isSkipping) return false
    if ('SQF'.includes(type)) this.#isOpen = false
    return true
  }

  /** The server passes over a Sync that it reads in the middle of COPY data. */
  hears({ type }: Frame): void {
    if (this.#isSimple || !'GW'.includes(type)) return
    this.#isReopened = true
    if (this.#hasCopyEnded) this.#isOpen = true
  }
}

/** Reads whole messages; what cannot be read is told to `onBroken` instead of being thrown. */
export function carefulReader(
  limit: (type: string) => number | null,
  onFrame: (frame: Frame) => void,
  onBroken: (reason: string) => void,
): (chunk: Buffer, nowMs: number) => void {
  const reader = new FrameReader({ keep: () => Infinity, limit, onFrame })
  return (chunk, nowMs) => {
    try {
      reader.push(chunk, nowMs)
    } catch (error) {
      onBroken(error instanceof MalformedFrame ? error.message : `unreadable message (${nameOf(error)})`)
    }
  }
}
