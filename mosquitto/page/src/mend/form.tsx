/** A form drawn from a schema: nothing of a kind of device is known here. */
import { useId } from "preact/hooks";
import { Choose, Field, Input } from "../kit/fields";
import { t } from "../text/words";
import { type Draft, type FieldOf, fieldsOf, isPairs, type Property, type Schema, textOf } from "./schema";

interface SchemaFormProps {
  schema: Schema;
  draft: Draft;
  errors: Readonly<Record<string, string>>;
  /** Secrets that are there already: an empty field leaves them as they are. */
  kept?: boolean;
  /** All fields one below the other, also those with a default. */
  flat?: boolean;
  onDraft: (draft: Draft) => void;
}

export function SchemaForm({ schema, draft, errors, kept = false, flat = false, onDraft }: SchemaFormProps) {
  const fields = fieldsOf(schema);
  const [main, more] = flat ? [[...fields.main, ...fields.more], []] : [fields.main, fields.more];
  const draw = (field: FieldOf) => (
    <One key={field.key} field={field} text={draft[field.key] ?? ""} error={errors[field.key]} kept={kept} onText={(text) => onDraft({ ...draft, [field.key]: text })} />
  );
  const wrong = more.some(({ key }) => errors[key]);
  return (
    <>
      {main.map(draw)}
      {more.length > 0 && <details open={wrong || undefined} class="more"><summary>{t("more_settings")}</summary><div class="fields">{more.map(draw)}</div></details>}
    </>
  );
}

function hintOf(property: Property, kept: boolean): string {
  const parts = [
    (property.description ?? "").replaceAll("`", ""),
    isPairs(property) ? t("pairs_hint") : "",
    property.default === undefined ? "" : t("default_is", { what: textOf(property.default) }),
    property.writeOnly && kept ? t("secret_kept") : "",
  ];
  return parts.filter(Boolean).join(" · ");
}

interface OneProps {
  field: FieldOf;
  text: string;
  error?: string;
  kept: boolean;
  onText: (text: string) => void;
}

function One({ field: { key, property, required }, text, error, kept, onText }: OneProps) {
  const list = useId();
  const label = `${property.title ?? key}${property.unit ? ` (${property.unit})` : ""}${required ? " *" : ""}`;
  const hint = hintOf(property, kept);
  const given = { label, hint, error, onText };
  const must = required && !(property.writeOnly && kept);
  if (property.enum) return <Choose {...given} value={text} options={[["", "–"], ...property.enum.map((one): [string, string] => [String(one), String(one)])]} />;
  if (property.type === "boolean") return <Choose {...given} value={text} options={[["", "–"], ["true", t("yes")], ["false", t("no")]]} />;
  if (property.writeOnly) return <Input {...given} type="password" autocomplete="new-password" required={must} value={text} data-key={key} />;
  if (property.type === "number" || property.type === "integer") {
    return <Input {...given} type="number" step={property.type === "integer" ? 1 : "any"} min={property.minimum} max={property.maximum} required={must} value={text} data-key={key} />;
  }
  if (!property.examples?.length) return <Input {...given} required={must} autocapitalize="none" spellcheck={false} value={text} data-key={key} />;
  return (
    <Field label={label} hint={hint} error={error}>
      {(joins) => (
        <>
          <input {...joins} list={list} required={must} autocapitalize="none" autocomplete="off" spellcheck={false} value={text} data-key={key} onInput={(event) => onText(event.currentTarget.value)} />
          <datalist id={list}>{property.examples!.map((one) => <option key={one} value={one} />)}</datalist>
        </>
      )}
    </Field>
  );
}
