/** The frame around the views: navigation, connection, login. */
import { link, logOut, lostAt, right, user } from "./contract/connection";
import { devices, second } from "./contract/house";
import { History } from "./history/history";
import { House } from "./house/house";
import { go, query, type View, view, VIEWS } from "./kit/route";
import { LogIn } from "./login";
import { Mend } from "./mend/mend";
import { Now } from "./now/now";
import { date } from "./text/format";
import { choose, type Language, language, LANGUAGES, NAMES, t } from "./text/words";

/** Drawings of 24 by 24. */
const ICONS: Record<View, string> = {
  now: "M4 14a8 8 0 0 1 16 0M12 14l4-5M3 18h18",
  history: "M3 4v16h18M6 15l4-5 4 3 6-8",
  house: "M3 12l9-8 9 8M6 10v10h12V10",
  mend: "M4 20l1-5L16 4l4 4L9 19zM13 7l4 4",
};

function Tabs() {
  return (
    <nav aria-label="Boondock">
      {VIEWS.filter((one) => one !== "mend" || right.value === "admin").map((one) => (
        <a key={one} href={`#${one}`} aria-current={view.value === one ? "page" : undefined}>
          <svg viewBox="0 0 24 24" aria-hidden="true"><path d={ICONS[one]} /></svg> {t(one)}
        </a>
      ))}
    </nav>
  );
}

function Link() {
  if (link.value === "up") return null;
  const text = link.value === "down" && lostAt.value > 0 ? t("lost", { time: date(lostAt.value, "time") }) : t("connecting");
  return <p class="link-state" role="status">{text}</p>;
}

function Foot() {
  return (
    <footer>
      <label>
        {t("language")}{" "}
        <select value={language.value} onChange={(event) => choose(event.currentTarget.value as Language)}>
          {LANGUAGES.map((one) => <option key={one} value={one} lang={one}>{NAMES[one]}</option>)}
        </select>
      </label>
      <button onClick={() => go("now", [["wall", "1"]])}>{t("wall")}</button>
      {user.value && <button onClick={logOut}>{t("log_out")}: {user.value}</button>}
      <time>{date(second.value, "both")}</time>
    </footer>
  );
}

export function App() {
  const wall = view.value === "now" && query.value.has("wall");
  if (link.value === "login") return <main class="page"><LogIn /><Foot /></main>;
  return (
    <div class={`page ${wall ? "wall" : ""}`}>
      {!wall && <Tabs />}
      <main id="main">
        <h1 class="only-read">Boondock: {t(view.value)}</h1>
        <Link />
        {view.value === "now" && (devices.value.size > 0 || link.value === "up") && <Now wall={wall} />}
        {view.value === "history" && <History />}
        {view.value === "house" && <House />}
        {view.value === "mend" && <Mend />}
        {wall ? <button class="leave" aria-label={t("close")} onClick={() => go("now")}>×</button> : <Foot />}
      </main>
    </div>
  );
}
