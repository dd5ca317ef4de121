/** The only file that knows uPlot: draws series on a canvas and draws them again when anything changes. */
import uPlot from "uplot";
import { number } from "../text/format";
import { type Axes, axesOf, dashOf, decimalsOf, marked, rangeOf, tickWords } from "./axes";
import type { Span } from "./gestures";
import { type Aligned, aligned, type Series } from "./rows";

const FAINT_DASH = [3, 3];
const FONT = "12px system-ui, sans-serif";

/** A colour of the style sheet, as a canvas takes it. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A colour of six hexadecimal digits, thinned. */
export function thin(hex: string, alpha: number): string {
  return `${hex}${Math.round(alpha * 255).toString(16).padStart(2, "0")}`;
}

/** Where a span is drawn: px from the left of its host, and how wide. */
export interface Area extends Span {
  left: number;
  width: number;
}

export class Plot {
  private plot: uPlot | null = null;
  private data: Aligned = { x: [], columns: [] };
  private axes: Axes = { axes: [], of: [] };
  private series: readonly Series[] = [];
  /** Of each axis, px. */
  private widths: number[] = [];
  private shape = "";
  private shown: Span = { from: 0, to: 1 };

  /** `onDraw` gets where the span stands in the host, px, each time it is drawn. */
  constructor(
    private readonly host: HTMLElement,
    private readonly onDraw: (area: Area) => void,
  ) {}

  /** Take series and span; what has kept its shape is only drawn again. */
  draw(series: readonly Series[], span: Span, language: string): void {
    this.series = [...series].sort((a, b) => depth(a) - depth(b));
    this.data = aligned(this.series);
    this.axes = axesOf(this.series, this.host.clientWidth);
    this.shown = span;
    const shape = JSON.stringify([this.axes, this.series.map(({ look, tone, faint, decimals }) => [look, tone, faint, decimals]), language]);
    if (this.plot && shape === this.shape) {
      this.plot.batch(() => {
        this.plot!.setData(this.columns(), false);
        this.setSpan(span);
      });
    } else {
      this.shape = shape;
      this.build();
    }
  }

  /** Draw anew with other colours. */
  rebuild(): void {
    if (this.plot) this.build();
  }

  /** Take the size that the host has now. */
  resize(): void {
    const { clientWidth: width, clientHeight: height } = this.host;
    if (this.plot && width > 0 && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
  }

  destroy(): void {
    this.plot?.destroy();
    this.plot = null;
  }

  get over(): HTMLElement | null {
    return this.plot?.over ?? null;
  }

  get span(): Span {
    return this.shown;
  }

  setSpan(span: Span): void {
    this.shown = span;
    this.plot?.setScale("x", { min: span.from, max: span.to });
  }

  /** Put the line of the cursor on a time, ms, or away; returns where it is. */
  point(time: number | null): void {
    this.plot?.setCursor(time === null ? { left: -10, top: -10 } : { left: this.plot.valToPos(time, "x"), top: 10 }, false);
  }

  /** The nearest time with a value of any series, at a share of the width. */
  nearest(share: number): number | null {
    const { from, to } = this.shown;
    return this.step(from + (to - from) * share, 0);
  }

  /** The time `by` values later than the one nearest to `time`, within what is seen; null if nothing is. */
  step(time: number, by: number): number | null {
    const seen = this.data.x.filter((x, at) => x >= this.shown.from && x <= this.shown.to && this.data.columns.some((one) => one.rows[at] !== undefined));
    if (seen.length === 0) return null;
    let at = seen.findIndex((x) => x >= time);
    if (at < 0) at = seen.length - 1;
    if (at > 0 && time - seen[at - 1]! < seen[at]! - time) at -= 1;
    return seen[Math.min(Math.max(at + by, 0), seen.length - 1)]!;
  }

  private columns(): uPlot.AlignedData {
    const columns: (number | null | undefined)[][] = [];
    this.series.forEach((series, at) => {
      const { factor } = this.axes.of[at]!;
      const { value, low, high } = this.data.columns[at]!;
      const times = (column: (number | null | undefined)[]) => (factor === 1 ? column : column.map((one) => (typeof one === "number" ? one * factor : one)));
      columns.push(times(value));
      if (series.look === "line") columns.push(times(low), times(high));
    });
    return [this.data.x, ...columns] as uPlot.AlignedData;
  }

  private build(): void {
    const time = this.plot?.cursor.left ?? -1;
    this.plot?.destroy();
    this.plot = new uPlot(this.options(), this.columns(), this.host);
    this.setSpan(this.shown);
    if (time < 0) this.point(null);
  }

  private options(): uPlot.Options {
    const ink = colour("soft");
    const grid = colour("line");
    const series: uPlot.Series[] = [{}];
    const bands: uPlot.Band[] = [];
    this.series.forEach((one, at) => this.addSeries(one, at, series, bands));
    const scales: Record<string, uPlot.Scale> = { x: { time: true, auto: false, range: () => [this.shown.from, this.shown.to] } };
    this.axes.axes.forEach((axis, at) => (scales[`y${at}`] = { range: (_, low, high) => rangeOf(low, high, axis.zero) }));
    return {
      width: this.host.clientWidth || 300,
      height: this.host.clientHeight || 240,
      ms: 1,
      series,
      bands,
      scales,
      axes: [this.timeAxis(ink, grid), ...this.axes.axes.map((_, at) => this.valueAxis(at, grid))],
      padding: [22, this.axes.axes.some((one) => one.side === "right" && one.shown) ? 0 : 12, 0, this.axes.axes.length > 0 ? 0 : 12],
      legend: { show: false },
      cursor: { drag: { x: false, y: false, setScale: false }, y: false, points: { show: false }, bind: { mousemove: () => null, mouseleave: () => null, mousedown: () => null, mouseup: () => null, dblclick: () => null } },
      hooks: {
        drawAxes: [(plot) => this.writeUnits(plot)],
        draw: [({ bbox }) => this.onDraw({ ...this.shown, left: bbox.left / devicePixelRatio, width: bbox.width / devicePixelRatio })],
      },
    };
  }

  private timeAxis(stroke: string, grid: string): uPlot.Axis {
    return {
      stroke, font: FONT, size: 30, space: 64,
      grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1, size: 4 },
      values: (_, splits, __, ___, step) => tickWords(splits, step),
    };
  }

  /** The colour of an axis: that of its series, if it has only one. */
  private inkOf(at: number): string {
    const own = this.series.filter((one, i) => this.axes.of[i]!.axis === at && !one.faint);
    return colour(own.length === 1 ? `series-${own[0]!.tone}` : "soft");
  }

  private valueAxis(at: number, grid: string): uPlot.Axis {
    const axis = this.axes.axes[at]!;
    const stroke = this.inkOf(at);
    return {
      show: axis.shown, scale: `y${at}`, side: axis.side === "left" ? 3 : 1, stroke, font: FONT, gap: 4,
      size: (_, values) => (this.widths[at] = 12 + 7.2 * Math.max(2, ...(values ?? []).map((one) => one.length))),
      grid: { show: at === 0, stroke: grid, width: 1 }, ticks: { show: false },
      values: (_, splits, __, ___, step) => splits.map((value) => number(value, decimalsOf(step))),
    };
  }

  private addSeries(one: Series, at: number, into: uPlot.Series[], bands: uPlot.Band[]): void {
    const ink = colour(`series-${one.tone}`);
    const stroke = one.faint ? thin(ink, 0.65) : ink;
    const dash = one.faint ? FAINT_DASH : [...dashOf(one.tone)];
    const scale = `y${this.axes.of[at]!.axis}`;
    if (one.look === "bars") {
      into.push({ scale, stroke, width: 1, fill: thin(ink, one.faint ? 0.2 : 0.6), paths: (plot, index) => this.bars(plot, index, at), points: { show: false } });
      return;
    }
    const rows = () => this.data.columns[at]!.rows;
    into.push({
      scale, stroke, dash, width: one.faint ? 1.25 : 2,
      ...(one.look === "steps" && uPlot.paths.stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {}),
      points: one.faint ? { show: false } : { show: true, size: 5, width: 1.25, stroke, fill: colour("card"), filter: (plot, index) => marked(plot.data[index] as (number | null)[], rows()) },
    });
    if (one.look !== "line") return;
    into.push({ scale, paths: uPlot.paths.linear!(), points: { show: false } }, { scale, paths: uPlot.paths.linear!(), points: { show: false } });
    if (!one.faint) bands.push({ series: [into.length - 1, into.length - 2], fill: thin(ink, 0.15) });
  }

  /** Bars from the start to the end of each period, filled as far as it is known. */
  private bars(plot: uPlot, index: number, at: number): uPlot.Series.Paths {
    const siblings = this.series.filter((one) => one.look === "bars" && Boolean(one.faint) === Boolean(this.series[at]!.faint));
    const place = siblings.indexOf(this.series[at]!);
    const scale = plot.series[index]!.scale!;
    const stroke = new Path2D();
    const fill = new Path2D();
    const zero = plot.valToPos(0, scale, true);
    this.data.columns[at]!.rows.forEach((row, i) => {
      const value = plot.data[index]![i];
      if (!row || typeof value !== "number") return;
      const left = plot.valToPos(row.start, "x", true);
      const width = plot.valToPos(row.end, "x", true) - left;
      const room = this.series[at]!.faint ? width : width * 0.8;
      const each = room / siblings.length;
      const top = plot.valToPos(value, scale, true);
      const x = left + (width - room) / 2 + each * place;
      fill.rect(x, zero, Math.max(each - 1, 1), (top - zero) * (row.coverage ?? 1));
      if (!this.series[at]!.faint) stroke.rect(x, zero, Math.max(each - 1, 1), top - zero);
    });
    return { stroke, fill, flags: 0 };
  }

  private writeUnits(plot: uPlot): void {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio || 1;
    ctx.save();
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    // Axes of one side stand side by side, the first one next to the chart.
    const from = { left: bbox.left, right: bbox.left + bbox.width };
    this.axes.axes.forEach((axis, at) => {
      if (!axis.shown) return;
      const width = (this.widths[at] ?? 0) * ratio;
      ctx.textAlign = axis.side === "left" ? "right" : "left";
      ctx.fillStyle = this.inkOf(at);
      const room = ctx.measureText(axis.unit).width + 2 * ratio;
      const x = axis.side === "left" ? Math.max(from.left - 5 * ratio, room) : Math.min(from.right + 5 * ratio, ctx.canvas.width - room);
      ctx.fillText(axis.unit, x, bbox.top - 9 * ratio);
      from[axis.side] += axis.side === "left" ? -width : width;
    });
    ctx.restore();
  }
}

/** What lies behind comes first: what is faint, then bars. */
function depth({ faint, look }: Series): number {
  return (faint ? 0 : 2) + (look === "bars" ? 0 : 1);
}
