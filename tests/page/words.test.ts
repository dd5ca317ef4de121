/** Every text of the page, in every language. */
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { choose, LANGUAGES, t, TABLE, type Word } from "../../mosquitto/page/src/text/words";

const words = Object.keys(TABLE) as Word[];
const holes = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(String).sort();

test("no text is missing, and each language fills in the same", () => {
  for (const word of words) {
    const texts: readonly string[] = TABLE[word];
    equal(texts.length, LANGUAGES.length, word);
    for (const text of texts) {
      ok(text.trim() !== "", word);
      deepEqual(holes(text), holes(texts[0]!), `${word}: ${text}`);
    }
  }
});

test("long texts are not left in English", () => {
  for (const word of words) {
    const [english, ...others]: readonly string[] = TABLE[word];
    if (english!.split(" ").length > 3) ok(!others.includes(english!), word);
  }
});

test("a text is said in the chosen language", () => {
  for (const language of LANGUAGES) {
    choose(language);
    equal(t("since", { time: "8:00" }), TABLE.since[LANGUAGES.indexOf(language)]!.replace("{time}", "8:00"));
  }
  choose("en");
});
