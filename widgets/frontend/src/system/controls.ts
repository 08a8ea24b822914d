/** How a component opens the dialog of a control that stands beside what it is about. */

import { inject, provide, type InjectionKey } from 'vue'

import type { Operation } from './operations'
import type { Value } from './schema'

/** A control at its place, with the parameters that the place decides. */
export interface Control {
  readonly name: string
  /** What the button or the menu says. */
  readonly label: string
  readonly preset?: Readonly<Record<string, Value>>
}

export interface Controls {
  /** The operation, if there is one and the person may ask for it. */
  readonly permitted: (name: string) => Operation | undefined
  readonly open: (control: Control) => void
}

const KEY: InjectionKey<Controls> = Symbol('controls')

export function provideControls(controls: Controls): void {
  provide(KEY, controls)
}

export function useControls(): Controls {
  const controls = inject(KEY)
  if (controls === undefined) throw new Error('Controls stand inside a component that has their dialog.')
  return controls
}
