/** Requests to services and commands to entities, each with its one answer. */
import { client, listen, publish } from "./connection";
import { houseNow, knowsTime } from "./house";
import { topic } from "./topics";
import { NOT_AUTHORISED } from "./transport";
import type { Result, Value } from "./types";

/** Why there is no answer, or what the answer refused; `code` is one of docs/contract.md, or `timeout`, `rights`, `link`. */
export class AskError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

interface Answer<T> {
  id: string | null;
  status: "ok" | "error" | "progress";
  data: T;
  next?: string;
  error?: { code: string; message: string };
}

/** Takers of answers, by their Correlation Data. */
const waiting = new Map<string, (payload: string) => void>();
let number = 0;

listen((message) => waiting.get(message.correlation)?.(message.payload));

/** Publish and wait for what comes with the same Correlation Data; `onEach` returns undefined if more will come. */
function exchange<T>(to: string, payload: string, ms: number, expiry: number, onEach: (payload: string) => T | undefined): Promise<T> {
  const id = `${(number += 1)}`;
  let timer = 0;
  const promise = new Promise<T>((resolve, reject) => {
    const restart = () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => reject(new AskError("timeout", "")), ms);
    };
    restart();
    waiting.set(id, (answer) => {
      restart();
      const found = onEach(answer);
      if (found !== undefined) resolve(found);
    });
    publish(to, payload, { responseTopic: `${topic.response(client)}/${id}`, correlation: id, expiry }).then(
      (reason) => reason === NOT_AUTHORISED && reject(new AskError("rights", "")),
      () => reject(new AskError("link", "")),
    );
  });
  return promise.finally(() => {
    clearTimeout(timer);
    waiting.delete(id);
  });
}

/**
 * Ask a service; follow its pages if the data is a list, or an object of lists.
 *
 * Rejects with AskError. `onProgress` gets what a long request says meanwhile.
 */
export async function ask<T>(service: string, verb: string, parameters: object = {}, onProgress?: (said: unknown) => void): Promise<T> {
  const pages: T[] = [];
  let cursor: string | undefined;
  do {
    const payload = JSON.stringify({ ...parameters, ...(cursor ? { cursor } : {}), from: "page" });
    const answer = await exchange<Answer<T>>(topic.request(service, verb), payload, 20_000, 30, (text) => {
      const said = JSON.parse(text) as Answer<T>;
      if (said.status !== "progress") return said;
      onProgress?.(said.data);
      return undefined;
    });
    if (answer.error) throw new AskError(answer.error.code, answer.error.message);
    pages.push(answer.data);
    cursor = answer.next;
  } while (cursor !== undefined);
  return pages.reduce(joined);
}

/** Join two pages of one answer: lists one after the other, objects key by key. */
function joined<T>(first: T, second: T): T {
  if (Array.isArray(first) && Array.isArray(second)) return [...first, ...second] as T;
  if (typeof first !== "object" || first === null || typeof second !== "object" || second === null) return second;
  const all = { ...first } as Record<string, unknown>;
  for (const [key, value] of Object.entries(second)) all[key] = key in all ? joined(all[key], value) : value;
  return all as T;
}

/** How long a command is good for, s: one that arrives later is refused instead of surprising somebody. */
const COMMAND_S = 10;

/** Command an entity; resolves to the answer, also if it is a refusal. Rejects with AskError if there is none. */
export function command(device: string, entity: string, value: Value, seconds?: number): Promise<Result> {
  const payload = {
    value,
    ...(seconds ? { for: seconds } : {}),
    id: `${client}-${(number += 1)}`,
    // Before the house has told its time, only the broker's own limit holds.
    ...(knowsTime() ? { not_after: new Date(houseNow() + COMMAND_S * 1000).toISOString() } : {}),
    from: "page",
  };
  return exchange(topic.set(device, entity), JSON.stringify(payload), 65_000, COMMAND_S, (text) => JSON.parse(text) as Result);
}
