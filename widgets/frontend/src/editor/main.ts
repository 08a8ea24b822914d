import { createApp, h } from 'vue'

import { Checking, type Checked } from './checking'
import { choose } from './choose'
import './editor.css'
import { ExpressionEditor } from './expression'
import { control, slugOf } from './form'
import NameChooser from './NameChooser.vue'
import { readEditorPage, columnOption } from './page'
import { Previewing } from './previewing'
import RowsPreview from './RowsPreview.vue'

const page = readEditorPage(document)
const fields = new Map(page.fields.map((field) => [field.name, field]))
const csrfToken = document.querySelector<HTMLInputElement>('form input[name=csrfmiddlewaretoken]')?.value ?? ''
const where = control('where', HTMLTextAreaElement)
const orderBy = control('order_by', HTMLTextAreaElement)
const descending = control('descending', HTMLInputElement)
const limit = control('limit', HTMLInputElement)

const previewing = new Previewing(page.preview_url, csrfToken)
const checking = new Checking(page.validate_url, csrfToken, heard)
const editors = {
  where: new ExpressionEditor(where, page, {
    label: 'Where', placeholder: 'price > 5 AND pct_change > 10', single: false, onChange: changed,
  }),
  order_by: new ExpressionEditor(orderBy, page, {
    label: 'Order by', placeholder: 'pct_change', single: true, onChange: changed,
  }),
}

function changed(): void {
  checking.look({ where: where.value, order_by: orderBy.value })
}

function heard({ texts, troubles, refused }: Checked): void {
  // Somebody typed on; the next answer is about that.
  if (texts.where !== where.value || texts.order_by !== orderBy.value) return
  if (troubles === null) {
    previewing.state.refused = refused
    return
  }
  editors.where.show(troubles.filter(({ field }) => field === 'where'))
  editors.order_by.show(troubles.filter(({ field }) => field === 'order_by'))
  const rows = Math.max(1, Math.min(500, Math.trunc(Number(limit.value)) || 1))
  previewing.show(troubles.length > 0 ? null : { ...texts, descending: descending.checked, limit: rows })
}

const columns = choose(
  NameChooser, control('columns', HTMLTextAreaElement), 'column', page.most_columns, true, page.fields.map(columnOption),
)
choose(NameChooser, control('notify', HTMLTextAreaElement), 'target', page.most_targets, false, page.targets.map((target) => ({
  value: target.name,
  label: target.name,
  detail: [target.owner === '' ? 'for everyone' : `of ${target.owner}`, target.enabled ? '' : 'switched off'].filter(Boolean).join(', '),
})))

const preview = document.createElement('section')
preview.className = 'tw-preview'
where.closest('fieldset')?.after(preview)
createApp({
  render: () => h(RowsPreview, { state: previewing.state, fields, columns: columns.value }),
}).mount(preview)

for (const field of [descending, limit]) field.addEventListener('input', changed)
if (page.is_new) {
  const name = control('name', HTMLInputElement)
  const slug = control('slug', HTMLInputElement)
  let suggested = slug.value
  name.addEventListener('input', () => {
    // What somebody wrote himself stays.
    if (slug.value !== suggested) return
    suggested = slugOf(name.value)
    slug.value = suggested
  })
}
checking.look({ where: where.value, order_by: orderBy.value }, 0)
