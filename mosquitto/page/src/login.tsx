/** The form that asks for a user of the broker. */
import { useSignal } from "@preact/signals";
import { logIn, refused } from "./contract/connection";
import { t } from "./text/words";

export function LogIn() {
  const forLong = useSignal(true);
  return (
    <form
      class="card login"
      onSubmit={(event) => {
        event.preventDefault();
        const said = new FormData(event.currentTarget);
        logIn({ user: String(said.get("user")), password: String(said.get("password")) }, forLong.value);
      }}
    >
      <h1>Boondock</h1>
      {refused.value && <p role="alert" class="refusal">{t("wrong_login")}</p>}
      <label>{t("user")} <input name="user" autocomplete="username" autocapitalize="none" required /></label>
      <label>{t("password")} <input name="password" type="password" autocomplete="current-password" /></label>
      <label class="tick"><input type="checkbox" checked={forLong.value} onChange={(event) => (forLong.value = event.currentTarget.checked)} /> {t("remember")}</label>
      <button class="main">{t("log_in")}</button>
    </form>
  );
}
