/** Fields of forms: a label, a hint, and what the house said is wrong. */
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface FieldProps {
  label: string;
  hint?: string;
  error?: string;
  children: (given: { id: string; "aria-describedby": string; "aria-invalid": boolean }) => ComponentChildren;
}

/** One field; `children` draws its input with what joins it to the label and the hint. */
export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  return (
    <div class={`field ${error ? "wrong" : ""}`}>
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": `${id}-hint`, "aria-invalid": error !== undefined })}
      <small id={`${id}-hint`}>{error ? <strong>⚠ {error}</strong> : hint}</small>
    </div>
  );
}

interface InputProps {
  label: string;
  hint?: string;
  error?: string;
  type?: "text" | "number" | "password" | "datetime-local";
  value: string;
  required?: boolean;
  min?: number;
  max?: number;
  step?: number | string;
  pattern?: string;
  maxLength?: number;
  autocomplete?: "off" | "new-password";
  autocapitalize?: "none";
  spellcheck?: boolean;
  "data-key"?: string;
  onText: (text: string) => void;
}

/** A field of one line. Preact has a type for each kind of input; to it this is one of text. */
export function Input({ label, hint, error, onText, type = "text", ...rest }: InputProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(given) => <input {...given} autocomplete="off" {...rest} type={type as "text"} onInput={(event) => onText(event.currentTarget.value)} />}
    </Field>
  );
}

interface ChooseProps {
  label: string;
  hint?: string;
  error?: string;
  value: string;
  /** Value and words of each choice. */
  options: readonly (readonly [string, string])[];
  onText: (text: string) => void;
}

/** A choice of a list. */
export function Choose({ label, hint, error, value, options, onText }: ChooseProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      {(given) => (
        <select {...given} value={value} onChange={(event) => onText(event.currentTarget.value)}>
          {options.map(([one, words]) => <option key={one} value={one}>{words}</option>)}
        </select>
      )}
    </Field>
  );
}

/** Write a time, ms, as an input of the kind datetime-local takes it: in this browser's zone, to the second. */
export function localInput(ms: number): string {
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

/** Read such an input, ms; null if it is empty or no time. */
export function fromLocalInput(text: string): number | null {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}
