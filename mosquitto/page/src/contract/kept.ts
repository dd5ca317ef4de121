/** What this browser keeps. A private window or a full disk may refuse: then nothing is kept, and nothing breaks. */

/** Read a kept text; null if there is none. */
export function kept(key: string): string | null {
  try {
    return localStorage.getItem(key) ?? sessionStorage.getItem(key);
  } catch {
    return null; // refused
  }
}

/** Read a kept value as it was given to `keepValue`; null if there is none, or none that can be read. */
export function keptValue(key: string): unknown {
  try {
    return JSON.parse(kept(key) ?? "null");
  } catch {
    return null; // of another version
  }
}

/** Keep a text, or (null) no longer; not `forLong`: until the window is closed. */
export function keepText(key: string, text: string | null, forLong = true): void {
  try {
    localStorage.removeItem(key);
    sessionStorage.removeItem(key);
    if (text !== null) (forLong ? localStorage : sessionStorage).setItem(key, text);
  } catch {
    // Refused: it counts until the page is closed.
  }
}

/** Keep a value, or (null) no longer. */
export function keepValue(key: string, value: unknown, forLong = true): void {
  keepText(key, value === null ? null : JSON.stringify(value), forLong);
}
