/** Forms from the JSON schemas by which operations describe their parameters. */

export interface Schema {
  readonly type?: string
  readonly title?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly $ref?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly examples?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly $defs?: Readonly<Record<string, Schema>>
}

export type Value = string | number | boolean | null

/** A value that a parameter can have now, and what people call it. */
export interface Choice {
  readonly value: Value
  readonly label: string
}

/** One input of a form. */
export interface Field {
  readonly name: string
  readonly label: string
  readonly help: string
  readonly kind: 'text' | 'number' | 'switch' | 'choice'
  /** What may be chosen. */
  readonly choices: readonly Choice[]
  readonly required: boolean
  /** Whether something else than the choices may be written. */
  readonly open: boolean
  /** Left empty it says `null`, which means something of its own. */
  readonly nullable: boolean
  readonly least: number | null
  readonly most: number | null
  readonly initial: Value
}

/**
 * The inputs that a schema asks for, in its order.
 *
 * @param choices What can be chosen at this moment, by parameter, as the server says.
 * @param present The values that rule now.
 */
export function fieldsOf(
  schema: Schema, choices: Readonly<Record<string, readonly Choice[]>>, present: Readonly<Record<string, unknown>>,
): readonly Field[] {
  return Object.entries(schema.properties ?? {}).map(([name, described]) => {
    const { inner, nullable } = unfolded(described, schema)
    const listed = choices[name] ?? inner.enum?.filter(isValue).map((value) => ({ value, label: String(value) })) ?? []
    const kind = inner.type === 'boolean' ? 'switch'
      : inner.type === 'integer' || inner.type === 'number' ? 'number'
      : listed.length > 0 ? 'choice' : 'text'
    const known = present[name] !== undefined ? present[name] : described.default
    return {
      name, kind, nullable,
      label: described.title ?? inner.title ?? label(name),
      help: described.description ?? inner.description ?? '',
      choices: listed,
      open: inner.enum === undefined && schema.required?.includes(name) !== true,
      required: schema.required?.includes(name) ?? false,
      least: inner.minimum ?? null,
      most: inner.maximum ?? null,
      initial: isValue(known) ? known : kind === 'switch' ? false : null,
    }
  })
}

function unfolded(schema: Schema, root: Schema): { inner: Schema; nullable: boolean } {
  if (schema.$ref !== undefined) {
    return unfolded(root.$defs?.[schema.$ref.split('/').at(-1) ?? ''] ?? {}, root)
  }
  const of = schema.anyOf ?? (schema.allOf?.length === 1 ? schema.allOf : undefined)
  if (of === undefined) return { inner: schema, nullable: false }
  const inner = of.find((one) => one.type !== 'null') ?? {}
  return { inner: unfolded(inner, root).inner, nullable: of.some((one) => one.type === 'null') }
}

function label(name: string): string {
  const text = name.replaceAll('_', ' ')
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}

function isValue(value: unknown): value is Value {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}

/**
 * What is sent for what was typed: numbers as numbers, what was left empty as null where that means something, and
 * nothing of what stayed as it is.
 */
export function parametersOf(fields: readonly Field[], typed: Readonly<Record<string, Value>>): Record<string, Value> {
  const sent: Record<string, Value> = {}
  for (const { name, kind, nullable, required, initial } of fields) {
    const given = typed[name] ?? null
    const empty = given === null || given === ''
    // A text that was there is emptied; `null` would leave it.
    const value = empty ? (typeof initial === 'string' || (kind === 'text' && !nullable) ? '' : null) : kind === 'number' ? Number(given) : given
    if (required || (value ?? '') !== (initial ?? '')) sent[name] = value
  }
  return sent
}
