/** A chart of series over time that fingers, mouse and keys move; it draws again when the colours change. */
import { useEffect, useRef } from "preact/hooks";
import { language, t } from "../text/words";
import { attach, type Span } from "./gestures";
import { type Area, Plot } from "./plot";
import type { Series } from "./rows";

export interface ChartProps extends Span {
  series: readonly Series[];
  /** What it shows, for who cannot see it. */
  label: string;
  /** The person has moved or stretched it; called once, after the last movement. Without it the span is fixed. */
  onSpan?: (span: Span) => void;
  /** The time, ms, whose values the person reads; null: none. */
  onRead?: (time: number | null) => void;
  /** Called with where the span stands, each time it is drawn: for what is drawn below. */
  onDraw?: (area: Area) => void;
  /** Spans that may not be shown become others. */
  within?: (span: Span) => Span;
}

/** The person has stopped moving, ms. */
const RESTS_MS = 250;
/** So long after that the span of the properties is expected to have followed, ms. */
const FOLLOWS_MS = 500;

/** What the person has moved the chart to and the properties do not say yet: `from` and `to` are what they said. */
interface Held {
  moving: boolean;
  said: Span | null;
}

/** Draw series from `from` to `to`, ms. The place it stands in says how high it is. */
export function Chart(props: ChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const held = useRef<Held>({ moving: false, said: null });
  const last = useRef(props);
  last.current = props;
  const draw = () => {
    const { series, from, to } = last.current;
    const { moving, said } = held.current;
    // What has come meanwhile must not move the chart back under the person's finger.
    const stays = moving || (said?.from === from && said.to === to);
    if (!stays) held.current.said = null;
    plot.current!.draw(series, stays ? plot.current!.span : { from, to }, language.value);
  };

  useEffect(() => {
    const made = new Plot(host.current!, (area) => last.current.onDraw?.(area));
    plot.current = made;
    const sizes = new ResizeObserver(() => made.resize());
    sizes.observe(host.current!);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const repaint = () => made.rebuild();
    scheme.addEventListener("change", repaint);
    const detach = listen(made, host.current!, held.current, draw, () => last.current);
    return () => {
      detach();
      sizes.disconnect();
      scheme.removeEventListener("change", repaint);
      made.destroy();
    };
  }, []);
  const { series, from, to } = props;
  useEffect(draw, [series, from, to, language.value]);
  return <div ref={host} class="chart" role="application" tabIndex={0} aria-label={`${props.label}. ${t("chart_keys")}`} />;
}

/** Bind the gestures; returns what takes them off again. */
function listen(plot: Plot, host: HTMLElement, held: Held, draw: () => void, props: () => ChartProps): () => void {
  let timer = 0;
  let read: number | null = null;
  const reads = (time: number | null) => {
    read = time;
    plot.point(time);
    props().onRead?.(time);
  };
  const rests = () => {
    const { from, to, onSpan } = props();
    held.moving = false;
    held.said = { from, to };
    onSpan?.(plot.span);
    timer = window.setTimeout(() => {
      held.said = null;
      draw();
    }, FOLLOWS_MS);
  };
  const detach = attach(host, {
    span: () => plot.span,
    area: () => (plot.over ?? host).getBoundingClientRect(),
    show(span) {
      const { onSpan, within } = props();
      if (!onSpan) return;
      held.moving = true;
      plot.setSpan(within ? within(span) : span);
      if (read !== null) plot.point(read);
      clearTimeout(timer);
      timer = window.setTimeout(rests, RESTS_MS);
    },
    read: (share) => reads(share === null ? null : plot.nearest(share)),
    step: (by) => reads(plot.step(read ?? plot.span.to, read === null ? 0 : by)),
  });
  return () => {
    clearTimeout(timer);
    detach();
  };
}
