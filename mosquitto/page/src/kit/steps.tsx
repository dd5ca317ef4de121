/** The two steps of every change: what it would do, then a tap that does it; its result, and the way back. */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { AskError } from "../contract/requests";
import { t } from "../text/words";
import { Compare, type Compared } from "./compare";
import { sentence } from "./parts";

/** What a change would do, in a sentence and, if it has numbers, in a chart. */
export interface Preview {
  text: string;
  compared?: Compared | null;
}

export interface Done {
  text: string;
  /** What takes it back. */
  undo?: Change;
  /** What is to be done next, with its words. */
  next?: { text: string; change: Change };
}

/** A change that the person has asked for; both functions reject with AskError. */
export interface Change {
  title: string;
  preview: () => Promise<Preview>;
  make: () => Promise<Done>;
}

type Step =
  | { is: "asking" }
  | { is: "ready" | "making"; preview: Preview }
  | { is: "done"; done: Done }
  | { is: "failed"; why: string };

export interface StepsProps {
  change: Change;
  onClose: () => void;
  /** Called once it was done, or taken back. */
  onDone?: () => void;
  /** Takes a refusal whose reason is shown elsewhere: returns true if it has shown it. */
  onRefused?: (error: AskError) => boolean;
}

export function Steps(props: StepsProps) {
  const change = useSignal(props.change);
  const step = useSignal<Step>({ is: "asking" });
  const box = useRef<HTMLElement>(null);
  useMemo(() => (change.value = props.change), [props.change]);
  const now = change.value;

  useEffect(() => {
    let stale = false;
    step.value = { is: "asking" };
    now.preview().then(
      (preview) => !stale && (step.value = { is: "ready", preview }),
      (error: unknown) => !stale && (step.value = { is: "failed", why: sentence(error) }),
    );
    return () => (stale = true, undefined);
  }, [now]);
  useEffect(() => {
    const before = document.activeElement;
    // It does nothing where that has gone, too.
    return () => (before instanceof HTMLElement ? before.focus() : undefined);
  }, []);
  // What had the focus has gone with the step before.
  useEffect(() => box.current?.focus(), [step.value.is, now]);

  const make = async (preview: Preview) => {
    step.value = { is: "making", preview };
    try {
      step.value = { is: "done", done: await now.make() };
      props.onDone?.();
    } catch (error) {
      if (error instanceof AskError && props.onRefused?.(error)) return;
      step.value = { is: "failed", why: sentence(error) };
    }
  };
  return (
    <section ref={box} class="steps" tabIndex={-1} aria-label={now.title} aria-busy={step.value.is === "asking" || step.value.is === "making"}>
      <h3>{now.title}</h3>
      <Body step={step.value} title={now.title} onMake={(preview) => void make(preview)} onChange={(next) => (change.value = next)} onClose={props.onClose} />
    </section>
  );
}

interface BodyProps {
  step: Step;
  title: string;
  onMake: (preview: Preview) => void;
  onChange: (change: Change) => void;
  onClose: () => void;
}

function Body({ step, title, onMake, onChange, onClose }: BodyProps) {
  if (step.is === "asking") return <p role="status">{t("loading")}</p>;
  if (step.is === "failed") {
    return <><p class="refusal" role="alert">{step.why}</p><p class="options"><button onClick={onClose}>{t("close")}</button></p></>;
  }
  if (step.is === "done") {
    const { text, undo, next } = step.done;
    return (
      <>
        <p role="status">✓ {text}</p>
        {next && <p>{next.text}</p>}
        <p class="options">
          {next && <button onClick={() => onChange(next.change)}>{next.change.title}</button>}
          {undo && <button onClick={() => onChange(undo)}>{t("undo")}</button>}
          <button onClick={onClose}>{t("close")}</button>
        </p>
      </>
    );
  }
  const { text, compared } = step.preview;
  return (
    <>
      <p>{text}</p>
      {compared && <Compare compared={compared} label={title} />}
      <p class="options">
        <button class="main" disabled={step.is === "making"} onClick={() => onMake(step.preview)}>{step.is === "making" ? t("sent") : t("do_it")}</button>
        <button onClick={onClose}>{t("cancel")}</button>
      </p>
    </>
  );
}
