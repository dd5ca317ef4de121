/** Bands of states over time: switches and what is told in words. */
import { useEffect, useRef } from "preact/hooks";
import { colour, thin } from "../kit/plot";
import type { Area } from "../kit/plot";
import { duration } from "../text/format";
import { language } from "../text/words";
import { lasted, type State } from "./data";

export interface Band {
  name: string;
  tone: number;
  states: readonly State[];
  /** A state in words. */
  say: (value: string) => string;
  /** Its place among all states, 0 to 1: the stronger it is drawn. */
  strength: (value: string) => number;
}

const HEIGHT = 26;
const FONT = "12px system-ui, sans-serif";

/** Draw one band; every state has its word where there is room, so that no colour tells alone. */
export function paint(ctx: CanvasRenderingContext2D, band: Band, area: Area): void {
  const ink = colour(`series-${band.tone}`);
  const at = (time: number) => area.left + ((time - area.from) / (area.to - area.from)) * area.width;
  ctx.save();
  ctx.beginPath();
  ctx.rect(area.left, 0, area.width, HEIGHT);
  ctx.clip();
  ctx.font = FONT;
  ctx.textBaseline = "middle";
  for (const { start, end, value } of band.states) {
    if (value === null) continue;
    const [left, right] = [Math.max(at(start), area.left), Math.min(at(end), area.left + area.width)];
    if (right <= left) continue;
    ctx.fillStyle = thin(ink, 0.08 + 0.37 * band.strength(value));
    ctx.fillRect(left, 2, Math.max(right - left, 1), HEIGHT - 4);
    ctx.fillStyle = ink;
    ctx.fillRect(left, 2, 1, HEIGHT - 4);
    const word = band.say(value);
    ctx.fillStyle = colour("ink");
    if (ctx.measureText(word).width + 8 < right - left) ctx.fillText(word, left + 5, HEIGHT / 2);
  }
  ctx.restore();
}

function Strip({ band, area }: { band: Band; area: Area }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const draw = () => {
    const on = canvas.current!;
    const ratio = devicePixelRatio || 1;
    const width = on.parentElement!.clientWidth;
    if (on.width !== Math.round(width * ratio)) on.width = Math.round(width * ratio);
    if (on.height !== HEIGHT * ratio) on.height = HEIGHT * ratio;
    const ctx = on.getContext("2d")!;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, HEIGHT);
    paint(ctx, band, area);
  };
  useEffect(draw, [band, area, language.value]);
  useEffect(() => {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", draw);
    return () => scheme.removeEventListener("change", draw);
  });
  const said = lasted(band.states).map(([value, ms]) => `${band.say(value)} ${duration(ms / 1000)}`);
  return (
    <div class="band">
      <small style={{ paddingLeft: `${area.left}px` }}>{band.name}</small>
      <canvas ref={canvas} role="img" aria-label={`${band.name}: ${said.join(", ") || "–"}`} />
    </div>
  );
}

export function Bands({ bands, area }: { bands: readonly Band[]; area: Area }) {
  return <>{bands.map((band) => <Strip key={band.name} band={band} area={area} />)}</>;
}
