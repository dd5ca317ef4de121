/** Fingers, mouse, wheel and keys on a chart of time. The arithmetic is pure. */

/** A span of time, ms. */
export interface Span {
  from: number;
  to: number;
}

const SHORTEST_MS = 60_000;
const LONGEST_MS = 60 * 365 * 86_400_000;

/** Move a span by a share of its length; positive is later. */
export function panned({ from, to }: Span, share: number): Span {
  const by = Math.round((to - from) * share);
  return { from: from + by, to: to + by };
}

/** Make a span shorter (`factor` below 1) or longer around the point that stands at `at`, a share of its length. */
export function zoomed({ from, to }: Span, at: number, factor: number): Span {
  const length = Math.min(Math.max((to - from) * factor, SHORTEST_MS), LONGEST_MS);
  const begin = Math.round(from + (to - from) * at - length * at);
  return { from: begin, to: begin + Math.round(length) };
}

/** Let two fingers that held the shares `a` and `b` of a span hold the same times at the shares `toA` and `toB`. */
export function pinched(span: Span, a: number, b: number, toA: number, toB: number): Span {
  const apart = toB - toA;
  if (Math.abs(apart) < 0.02) return span;
  const length = span.to - span.from;
  const next = Math.min(Math.max(Math.abs((length * (b - a)) / apart), SHORTEST_MS), LONGEST_MS);
  const begin = Math.round(span.from + length * ((a + b) / 2) - next * ((toA + toB) / 2));
  return { from: begin, to: begin + Math.round(next) };
}

export interface Handlers {
  span(): Span;
  /** Where the span is drawn. */
  area(): DOMRect;
  /** Show another span at once. */
  show(span: Span): void;
  /** Read the values at this share of the width; null: nowhere. */
  read(share: number | null): void;
  /** Read one point earlier (-1) or later (1). */
  step(by: number): void;
}

const HOLD_MS = 350;
const MOVED_PX = 8;
const BY_KEY: Record<string, (span: Span) => Span> = {
  "+": (span) => zoomed(span, 0.5, 0.5),
  "=": (span) => zoomed(span, 0.5, 0.5),
  "-": (span) => zoomed(span, 0.5, 2),
  PageUp: (span) => panned(span, -1),
  PageDown: (span) => panned(span, 1),
};

/** A finger that moves sideways moves the chart; one that taps, or rests first, reads values; two stretch it. */
export function attach(on: HTMLElement, say: Handlers): () => void {
  const fingers = new Map<number, number>();
  let held: { span: Span; at: [number, number][] } | null = null;
  let mode: "wait" | "move" | "read" = "wait";
  let timer = 0;
  const share = (event: { clientX: number }) => {
    const box = say.area();
    return (event.clientX - box.left) / (box.width || 1);
  };
  const hold = () => (held = { span: say.span(), at: [...fingers] });
  const down = (event: PointerEvent) => {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    on.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, share(event));
    hold();
    clearTimeout(timer);
    mode = fingers.size > 1 ? "move" : "wait";
    if (mode === "wait" && event.pointerType !== "mouse") {
      timer = window.setTimeout(() => {
        mode = "read";
        say.read(fingers.get(event.pointerId) ?? null);
      }, HOLD_MS);
    }
  };
  const move = (event: PointerEvent) => {
    const now = share(event);
    if (!fingers.has(event.pointerId)) return event.pointerType === "mouse" ? say.read(now) : undefined;
    fingers.set(event.pointerId, now);
    if (mode === "read") return say.read(now);
    const [first, second] = held!.at;
    const far = Math.abs(now - first![1]) * say.area().width > MOVED_PX;
    if (mode === "wait" && !far) return;
    mode = "move";
    clearTimeout(timer);
    const [a = 0, b = 0] = [...fingers.values()];
    say.show(second ? pinched(held!.span, first![1], second[1], a, b) : panned(held!.span, first![1] - now));
  };
  const up = (event: PointerEvent) => {
    if (!fingers.delete(event.pointerId)) return;
    clearTimeout(timer);
    if (mode === "wait" && event.type === "pointerup") say.read(share(event));
    if (fingers.size > 0) hold();
  };
  const leave = (event: PointerEvent) => event.pointerType === "mouse" && fingers.size === 0 && say.read(null);
  const wheel = (event: WheelEvent) => {
    event.preventDefault();
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    const by = Math.sign(sideways ? event.deltaX || event.deltaY : event.deltaY);
    say.show(sideways ? panned(say.span(), by * 0.1) : zoomed(say.span(), share(event), by > 0 ? 1.25 : 0.8));
  };
  const key = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const change = event.shiftKey && event.key.startsWith("Arrow") ? undefined : BY_KEY[event.key];
    if (change) say.show(change(say.span()));
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const way = event.key === "ArrowLeft" ? -1 : 1;
      if (event.shiftKey) say.show(panned(say.span(), way / 4));
      else say.step(way);
    } else if (event.key === "Escape") say.read(null);
    else return;
    event.preventDefault();
  };
  const listeners = Object.entries({ pointerdown: down, pointermove: move, pointerup: up, pointercancel: up, pointerleave: leave, wheel, keydown: key });
  for (const [name, listener] of listeners) on.addEventListener(name, listener as EventListener, { passive: false });
  return () => {
    clearTimeout(timer);
    for (const [name, listener] of listeners) on.removeEventListener(name, listener as EventListener);
  };
}
