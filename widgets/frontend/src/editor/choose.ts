import { type Component, createApp, h, ref, type Ref } from 'vue'

import type { Option } from './choosing'
import { listIn, write } from './form'

/**
 * Puts a chooser in the place of a field of JSON, which keeps the list and sends it with the form. A field that holds
 * something else stays as it is, for the person to mend.
 */
export function choose(
  chooser: Component,
  field: HTMLTextAreaElement,
  noun: string,
  most: number,
  ordered: boolean,
  options: readonly Option[],
): Ref<string[]> {
  const kept = listIn(field.value)
  const chosen = ref(kept ?? [])
  if (kept === null) return chosen
  const host = document.createElement('div')
  field.hidden = true
  field.after(host)
  const onChange = (list: string[]): void => {
    chosen.value = list
    write(field, JSON.stringify(list))
  }
  createApp({
    render: () => h(chooser, { chosen: chosen.value, options, noun, most, ordered, onChange }),
  }).mount(host)
  return chosen
}
