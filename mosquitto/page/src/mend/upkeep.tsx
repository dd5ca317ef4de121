/** What was set aside, whether statistics can be made, and a copy of the database. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { link } from "../contract/connection";
import { ask } from "../contract/requests";
import { Panel, sentence } from "../kit/parts";
import { type Change, Steps } from "../kit/steps";
import { date, number, option } from "../text/format";
import { t } from "../text/words";

interface Letter {
  id: number;
  ts: string;
  topic: string;
  payload: string;
  bytes: number;
  error: string;
}

const MOST = 50;

function takeAgain({ id, topic }: Letter): Change {
  return {
    title: t("take_again"),
    preview: () => Promise.resolve({ text: t("would_take", { topic }) }),
    async make() {
      const said = await ask<{ error: string | null }>("statistician", "take_again", { letter: id });
      return { text: said.error ? t("still_unusable", { why: said.error }) : t("was_taken", { topic }) };
    },
  };
}

const copy: () => Change = () => ({
  title: t("make_backup"),
  preview: () => Promise.resolve({ text: t("would_copy") }),
  async make() {
    const { file } = await ask<{ file: string }>("statistician", "backup");
    return { text: t("was_copied", { file }) };
  },
});

/** An answer of the statistician, asked again when `again` changes. */
function useAnswer<T>(verb: string, parameters: object, again: unknown): { said: T | null; why: string } {
  const said = useSignal<T | null>(null);
  const why = useSignal("");
  const up = link.value === "up";
  useEffect(() => {
    if (!up) return;
    ask<T>("statistician", verb, parameters).then(
      (found) => ((said.value = found), (why.value = "")),
      (error: unknown) => (why.value = sentence(error)),
    );
  }, [up, again]);
  return { said: said.value, why: why.value };
}

function Letters() {
  const change = useSignal<Change | null>(null);
  const taken = useSignal(0);
  const { said, why } = useAnswer<Letter[]>("dead_letters", { limit: MOST }, taken.value);
  return (
    <Panel id="letters" title={t("dead_letters")}>
      <p class="soft">{t("letters_hint")}</p>
      {why && <p class="refusal" role="alert">{why}</p>}
      {change.value && <Steps change={change.value} onDone={() => (taken.value += 1)} onClose={() => (change.value = null)} />}
      {said?.length === 0 && <p>✓ {t("no_letters")}</p>}
      <ul class="told">
        {said?.map((one) => (
          <li key={one.id}>
            <p class="between"><strong>{one.topic}</strong> <time>{date(Date.parse(one.ts), "both")}</time></p>
            <p>{one.error}</p>
            <p><code>{one.payload.slice(0, 200)}</code>{one.bytes > 200 && <small> {number(one.bytes)} B</small>}</p>
            <p class="options"><button aria-label={`${t("take_again")}: ${one.topic}, ${one.id}`} onClick={() => (change.value = takeAgain(one))}>{t("take_again")}</button></p>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Validate() {
  const { said, why } = useAnswer<Record<string, { type: string }[]>>("validate", {}, 0);
  const wrong = Object.entries(said ?? {});
  return (
    <Panel id="validate" title={t("validate")}>
      {why && <p class="refusal" role="alert">{why}</p>}
      {said !== null && wrong.length === 0 && <p>✓ {t("all_valid")}</p>}
      <ul class="told">{wrong.map(([entity, issues]) => <li key={entity}><p><strong>{entity}</strong> {issues.map((one) => option(one.type)).join(", ")}</p></li>)}</ul>
    </Panel>
  );
}

function Backup() {
  const change = useSignal<Change | null>(null);
  return (
    <Panel id="backup" title={t("backup")}>
      {change.value === null && <p class="options"><button onClick={() => (change.value = copy())}>{t("make_backup")}</button></p>}
      {change.value && <Steps change={change.value} onClose={() => (change.value = null)} />}
    </Panel>
  );
}

export function Upkeep() {
  return (
    <>
      <Letters />
      <Validate />
      <Backup />
    </>
  );
}
