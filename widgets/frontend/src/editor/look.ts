/** How the editor of expressions looks: the page's own colours, which follow its theme by variables. */

import { HighlightStyle, syntaxHighlighting } from '@codemirror/language'
import { EditorView } from '@codemirror/view'
import { tags } from '@lezer/highlight'

const MONO = "ui-monospace, 'Cascadia Code', 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

const theme = EditorView.theme({
  '&': {
    fontSize: '13px', color: 'var(--tw-text)', backgroundColor: 'var(--tw-panel)', border: '1px solid var(--tw-line)',
    borderRadius: '6px',
  },
  '&.cm-focused': { outline: '2px solid var(--tw-accent)', outlineOffset: '-1px' },
  '.cm-content': { fontFamily: MONO, padding: '8px 0', caretColor: 'var(--tw-text)', lineHeight: '1.55' },
  '.cm-line': { padding: '0 12px' },
  '.cm-cursor': { borderLeftColor: 'var(--tw-text)' },
  '.cm-placeholder': { color: 'var(--tw-dim)' },
  '.cm-scroller': { fontFamily: MONO },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'color-mix(in srgb, var(--tw-accent) 30%, transparent)',
  },
  '&.cm-focused .cm-matchingBracket': { backgroundColor: 'color-mix(in srgb, var(--tw-accent) 25%, transparent)' },
  '.cm-lintRange-error': {
    backgroundImage: 'none', textDecoration: 'underline wavy var(--tw-error)', textUnderlineOffset: '3px',
    textDecorationSkipInk: 'none',
  },
  '.cm-tooltip': {
    border: '1px solid var(--tw-line)', borderRadius: '6px', backgroundColor: 'var(--tw-raised)', color: 'var(--tw-text)',
    boxShadow: '0 8px 24px rgb(0 0 0 / 25%)', maxWidth: 'min(560px, 94vw)',
  },
  '.cm-tooltip.cm-tooltip-autocomplete > ul': { fontFamily: MONO, maxHeight: '16em', minWidth: '240px' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '4px 10px', lineHeight: '1.4' },
  '.cm-tooltip-autocomplete ul li[aria-selected]': { backgroundColor: 'var(--color-primary-600)', color: '#fff' },
  '.cm-completionDetail': { color: 'var(--tw-dim)', fontStyle: 'normal', marginLeft: '1em' },
  'li[aria-selected] .cm-completionDetail': { color: 'inherit', opacity: '0.85' },
  '.cm-completionMatchedText': { textDecoration: 'none', fontWeight: '700' },
  '.cm-tooltip.cm-completionInfo': { padding: '8px 12px', maxWidth: '340px', fontSize: '12px', lineHeight: '1.45' },
  '.cm-completionInfo p': { margin: '0 0 4px' },
  '.cm-diagnostic-error': { borderLeftColor: 'var(--tw-error)' },
  '.cm-diagnosticAction': { backgroundColor: 'var(--color-primary-600)', borderRadius: '4px', padding: '2px 8px' },
})

/** Room for a condition that is worth its name. */
export const threeLines = EditorView.theme({ '.cm-content': { minHeight: '5.6em' } })

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: 'var(--tw-accent)' },
  { tag: tags.keyword, color: 'var(--tw-keyword)', fontWeight: '600' },
  { tag: tags.function(tags.variableName), color: 'var(--tw-function)' },
  { tag: tags.number, color: 'var(--tw-number)' },
  { tag: tags.string, color: 'var(--tw-ok)' },
  { tag: tags.operator, color: 'var(--tw-dim)' },
])

export const look = [theme, syntaxHighlighting(colours)]
