/** As much of Node.js as the tests of the page's functions use. */
declare module "node:test" {
  export function test(name: string, run: () => void | Promise<void>): void;
}
declare module "node:assert/strict" {
  export function equal(found: unknown, wanted: unknown, message?: string): void;
  export function deepEqual(found: unknown, wanted: unknown, message?: string): void;
  export function ok(found: unknown, message?: string): asserts found;
  export function match(found: string, wanted: RegExp): void;
}
