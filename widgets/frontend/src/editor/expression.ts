/** A text area made an editor of expressions: colours, completion, and what is wrong underlined. */

import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from '@codemirror/autocomplete'
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands'
import { bracketMatching, StreamLanguage } from '@codemirror/language'
import { type Diagnostic, lintKeymap, setDiagnostics } from '@codemirror/lint'
import { EditorState, type Extension } from '@codemirror/state'
import { drawSelection, EditorView, keymap, placeholder, tooltips } from '@codemirror/view'

import type { Trouble } from './api'
import { write } from './form'
import type { EditorPage } from './page'
import { look, threeLines } from './look'
import { completeFrom, completionsOf, meantIn, parserFor, placeIn } from './words'

export interface ExpressionOptions {
  readonly label: string
  readonly placeholder: string
  /** One line: Enter writes none. */
  readonly single: boolean
  readonly onChange: () => void
}

/** An editor in the place of a text area, which keeps the value and sends it with the form. */
export class ExpressionEditor {
  private readonly view: EditorView
  private readonly said = document.createElement('p')

  constructor(
    private readonly field: HTMLTextAreaElement,
    page: EditorPage,
    options: ExpressionOptions,
  ) {
    const host = document.createElement('div')
    host.className = 'tw-expression'
    host.dataset.field = field.name
    // In a shadow tree CodeMirror adopts its style sheets, where in the page it would write elements that the content
    // security policy forbids.
    const root = host.attachShadow({ mode: 'open' })
    this.said.className = 'tw-expression-said'
    this.said.setAttribute('role', 'status')
    field.hidden = true
    field.after(host, this.said)
    const label = document.querySelector(`label[for="${field.id}"]`)
    label?.addEventListener('click', () => this.view.focus())
    this.view = new EditorView({
      root,
      parent: root,
      state: EditorState.create({ doc: field.value, extensions: [...extensionsOf(page, options), this.following(options)] }),
    })
  }

  /** What stands there. */
  get text(): string {
    return this.view.state.doc.toString()
  }

  /** Shows what is wrong: underlined in the text, and said below it. */
  show(troubles: readonly Trouble[]): void {
    const text = this.text
    const diagnostics = troubles.map((trouble) => diagnosticOf(text, trouble))
    this.view.dispatch(setDiagnostics(this.view.state, diagnostics))
    const message = troubles.map((trouble) => inWords(trouble)).join(' ')
    if (this.said.textContent !== message) this.said.textContent = message
    this.view.contentDOM.setAttribute('aria-invalid', String(troubles.length > 0))
  }

  private following({ onChange }: ExpressionOptions): Extension {
    return EditorView.updateListener.of((update) => {
      if (!update.docChanged) return
      write(this.field, this.text)
      onChange()
    })
  }
}

function extensionsOf(page: EditorPage, options: ExpressionOptions): Extension[] {
  return [
    history(),
    drawSelection(),
    EditorView.lineWrapping,
    bracketMatching(),
    closeBrackets(),
    StreamLanguage.define(parserFor(page)),
    autocompletion({ override: [completeFrom(completionsOf(page))], icons: false, maxRenderedOptions: 60 }),
    // Above everything else of the page, whatever clips the editor.
    tooltips({ position: 'fixed' }),
    placeholder(options.placeholder),
    EditorView.contentAttributes.of({
      'aria-label': options.label, spellcheck: 'false', autocapitalize: 'off', autocorrect: 'off',
    }),
    options.single ? oneLine : threeLines,
    // Tab moves on to the next field, as in every form.
    keymap.of([...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...historyKeymap, ...defaultKeymap]),
    look,
  ]
}

/** Lines that are pasted become one. */
const oneLine = EditorState.transactionFilter.of((transaction) => {
  if (!transaction.docChanged || transaction.newDoc.lines === 1) return transaction
  const text = transaction.newDoc.toString().replaceAll(/\s*\n\s*/g, ' ').trimEnd()
  const length = transaction.startState.doc.length
  return { changes: { from: 0, to: length, insert: text }, selection: { anchor: text.length } }
})

/** The message without its field's name, which stands beside it. */
function inWords({ field, message }: Trouble): string {
  const said = message.startsWith(`${field}: `) ? message.slice(field.length + 2) : message
  return `${said.charAt(0).toUpperCase()}${said.slice(1)}`
}

function diagnosticOf(text: string, trouble: Trouble): Diagnostic {
  const { message, start, end } = trouble
  const from = Math.min(placeIn(text, start), text.length)
  const to = Math.max(from, Math.min(placeIn(text, end), text.length))
  const meant = meantIn(message)
  const fix = { name: `Use ${meant ?? ''}`, apply: (view: EditorView, at: number, until: number) => {
    view.dispatch({ changes: { from: at, to: until, insert: meant ?? '' } })
  } }
  return { from, to, severity: 'error', message: inWords(trouble), ...(meant === null ? {} : { actions: [fix] }) }
}
