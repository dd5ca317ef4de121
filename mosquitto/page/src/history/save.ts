/** What is seen as a file: CSV, or a picture with title, legend and units. */
import { dashOf } from "../kit/axes";
import { colour } from "../kit/plot";
import { t } from "../text/words";
import { numbers, type Seen } from "./legend";

/** Give the browser a file to keep. */
function keep(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A name for the file of what is seen, such as `battery.soc_2026-11-28`. */
export function fileName(all: readonly Seen[], from: number, ending: string): string {
  const day = new Date(from).toISOString().slice(0, 10);
  return `${all.map((one) => one.name).join("_").slice(0, 80) || "boondock"}_${day}.${ending}`;
}

export function saveCsv(text: string, name: string): void {
  // The mark tells spreadsheets that it is UTF-8.
  keep(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }), name);
}

const LINE = 22;
const EDGE = 16;

/** Draw title, chart, bands and legend on one canvas. */
export function picture(frame: HTMLElement, all: readonly Seen[], title: string): HTMLCanvasElement {
  const drawn = [...frame.querySelectorAll("canvas")];
  const ratio = devicePixelRatio || 1;
  const width = Math.max(...drawn.map((one) => one.width / ratio)) + 2 * EDGE;
  const bands = all.filter((one) => one.look === "band");
  const text = all.map((seen) => `${seen.title}: ${numbers(seen).map(([word, value, time]) => [word, value, time && `(${time})`].filter(Boolean).join(" ")).join(" · ")}`);
  const made = document.createElement("canvas");
  const ctx = made.getContext("2d")!;
  ctx.font = "13px system-ui, sans-serif";
  const lines = text.map((one) => wrapped(ctx, one, width - 2 * EDGE - 36));
  const height = 2 * EDGE + 30 + drawn.reduce((sum, one) => sum + one.height / ratio, 0) + bands.length * LINE + lines.flat().length * LINE + 10;
  [made.width, made.height] = [width * ratio, height * ratio];
  ctx.scale(ratio, ratio);
  ctx.fillStyle = colour("card");
  ctx.fillRect(0, 0, width, height);
  ctx.fillStyle = colour("ink");
  ctx.font = "600 15px system-ui, sans-serif";
  ctx.fillText(title, EDGE, EDGE + 14);
  ctx.font = "13px system-ui, sans-serif";
  let y = EDGE + 30;
  drawn.forEach((one, at) => {
    const band = bands[at - (drawn.length - bands.length)];
    if (band) ctx.fillText(band.title, EDGE, (y += LINE) - 6);
    ctx.drawImage(one, EDGE, y, one.width / ratio, one.height / ratio);
    y += one.height / ratio;
  });
  y += 10;
  all.forEach((seen, at) => {
    mark(ctx, seen, EDGE, y + 3);
    for (const line of lines[at]!) {
      ctx.fillStyle = colour("ink");
      ctx.fillText(line, EDGE + 36, (y += LINE) - 8);
    }
  });
  return made;
}

function mark(ctx: CanvasRenderingContext2D, seen: Seen, x: number, y: number): void {
  ctx.fillStyle = colour(`series-${seen.tone}`);
  if (seen.look !== "line") return ctx.fillRect(x + 4, y, 20, 13);
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle;
  ctx.lineWidth = 3;
  ctx.setLineDash([...dashOf(seen.tone)]);
  ctx.beginPath();
  ctx.moveTo(x, y + 6);
  ctx.lineTo(x + 28, y + 6);
  ctx.stroke();
  ctx.restore();
}

/** Break a text into lines that fit, px. */
function wrapped(ctx: CanvasRenderingContext2D, text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (ctx.measureText(longer).width <= width || lines.at(-1) === "") lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** Save what is seen as PNG. */
export function savePicture(frame: HTMLElement, all: readonly Seen[], title: string, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    picture(frame, all, title).toBlob((blob) => {
      if (!blob) return reject(new Error(t("no_picture")));
      keep(blob, name);
      resolve();
    }, "image/png");
  });
}
