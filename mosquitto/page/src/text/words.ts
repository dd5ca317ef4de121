/** The page's own words, one table; devices and entities keep their own names. */
import { computed, type Signal, signal } from "@preact/signals";

export const LANGUAGES = ["en", "de", "fr", "es", "nl", "ja"] as const;
export type Language = (typeof LANGUAGES)[number];
export const NAMES: Record<Language, string> = {
  en: "English", de: "Deutsch", fr: "Français", es: "Español", nl: "Nederlands", ja: "日本語",
};

/** One line a text, in the order of LANGUAGES; `{x}` is filled in. */
const TABLE = {
  now: ["Now", "Jetzt", "Maintenant", "Ahora", "Nu", "現在"],
  history: ["History", "Verlauf", "Historique", "Historial", "Geschiedenis", "履歴"],
  house: ["House", "Haus", "Maison", "Casa", "Huis", "システム"],
  mend: ["Mend", "Berichtigen", "Corriger", "Corregir", "Herstellen", "修正"],
  battery: ["Battery", "Batterie", "Batterie", "Batería", "Accu", "バッテリー"],
  sun: ["Sun", "Sonne", "Soleil", "Sol", "Zon", "太陽光"],
  shore: ["Shore power", "Landstrom", "Quai", "Toma de puerto", "Walstroom", "外部電源"],
  charger: ["Charger", "Ladegerät", "Chargeur", "Cargador", "Lader", "充電器"],
  alternator: ["Alternator", "Lichtmaschine", "Alternateur", "Alternador", "Dynamo", "オルタネーター"],
  generator: ["Generator", "Generator", "Groupe électrogène", "Generador", "Generator", "発電機"],
  loads: ["Loads", "Verbraucher", "Consommateurs", "Consumos", "Verbruikers", "負荷"],
  rest: ["Other loads: the rest", "Andere Verbraucher: der Rest", "Autres : le reste", "Otros: el resto", "Overige: de rest", "その他の負荷(残り)"],
  unmeasured: ["Not measured", "Nicht gemessen", "Non mesuré", "Sin medir", "Niet gemeten", "未計測"],
  tanks: ["Tanks", "Tanks", "Réservoirs", "Depósitos", "Tanks", "タンク"],
  switches: ["Switches", "Schalter", "Commandes", "Interruptores", "Schakelaars", "スイッチ"],
  flow: ["Energy flow", "Energiefluss", "Flux d’énergie", "Flujo de energía", "Energiestroom", "電力の流れ"],
  alarms: ["Alarms", "Alarme", "Alarmes", "Alarmas", "Alarmen", "警報"],
  on: ["on", "an", "allumé", "encendido", "aan", "オン"],
  off: ["off", "aus", "éteint", "apagado", "uit", "オフ"],
  ok: ["OK", "in Ordnung", "OK", "bien", "in orde", "正常"],
  problem: ["problem", "Problem", "problème", "problema", "probleem", "異常"],
  plugged: ["plugged in", "eingesteckt", "branché", "conectado", "aangesloten", "接続中"],
  unplugged: ["unplugged", "nicht eingesteckt", "débranché", "desconectado", "niet aangesloten", "未接続"],
  open: ["open", "offen", "ouvert", "abierto", "open", "開"],
  closed: ["closed", "zu", "fermé", "cerrado", "dicht", "閉"],
  wet: ["wet", "nass", "mouillé", "mojado", "nat", "濡れ"],
  dry: ["dry", "trocken", "sec", "seco", "droog", "乾き"],
  online: ["online", "online", "en ligne", "en línea", "online", "オンライン"],
  offline: ["offline", "offline", "hors ligne", "sin conexión", "offline", "オフライン"],
  charging: ["charging", "lädt", "en charge", "cargando", "laadt", "充電中"],
  discharging: ["discharging", "entlädt", "en décharge", "descargando", "ontlaadt", "放電中"],
  idle: ["idle", "ruht", "au repos", "en reposo", "in rust", "待機中"],
  left: ["{time} left", "noch {time}", "encore {time}", "quedan {time}", "nog {time}", "残り{time}"],
  full: ["full in about {time}", "voll in etwa {time}", "pleine dans environ {time}", "llena en unas {time}", "vol over ongeveer {time}", "満充電まで約{time}"],
  today: ["{energy} today", "heute {energy}", "{energy} aujourd’hui", "{energy} hoy", "vandaag {energy}", "今日 {energy}"],
  since: ["since {time}", "seit {time}", "depuis {time}", "desde {time}", "sinds {time}", "{time}から"],
  until: ["until {time}", "bis {time}", "jusqu’à {time}", "hasta {time}", "tot {time}", "{time}まで"],
  by: ["by {who}", "durch {who}", "par {who}", "por {who}", "door {who}", "{who}による"],
  this_page: ["the page", "die Seite", "la page", "la página", "de pagina", "このページ"],
  sent: ["sent …", "gesendet …", "envoyé …", "enviado …", "verzonden …", "送信中…"],
  done: ["done", "erledigt", "fait", "hecho", "gedaan", "完了"],
  dismiss: ["OK, read", "Gelesen", "Lu", "Leído", "Gelezen", "確認"],
  set: ["Set", "Setzen", "Régler", "Ajustar", "Instellen", "設定"],
  connecting: ["Connecting …", "Verbindung wird hergestellt …", "Connexion …", "Conectando …", "Verbinden …", "接続中…"],
  lost: ["No connection to the house since {time}. What you see is from then. Trying again …",
    "Seit {time} keine Verbindung zum Haus. Sie sehen den Stand von dann. Neuer Versuch …",
    "Pas de connexion depuis {time}. Les valeurs datent de là. Nouvel essai …",
    "Sin conexión desde las {time}. Los valores son de entonces. Nuevo intento …",
    "Geen verbinding sinds {time}. U ziet de stand van toen. Nieuwe poging …",
    "{time}から接続がありません。表示はその時点の値です。再試行中…"],
  not_running: ["{service} does not run.", "{service} läuft nicht.", "{service} ne fonctionne pas.", "{service} no funciona.", "{service} draait niet.", "{service} が動作していません。"],
  log_in: ["Log in", "Anmelden", "Se connecter", "Entrar", "Inloggen", "ログイン"],
  log_out: ["Log out", "Abmelden", "Se déconnecter", "Salir", "Uitloggen", "ログアウト"],
  user: ["User", "Benutzer", "Utilisateur", "Usuario", "Gebruiker", "ユーザー"],
  password: ["Password", "Passwort", "Mot de passe", "Contraseña", "Wachtwoord", "パスワード"],
  remember: ["Remember on this device", "Auf diesem Gerät merken", "Retenir sur cet appareil", "Recordar en este dispositivo", "Onthouden op dit apparaat", "この端末に記憶する"],
  wrong_login: ["The broker does not know this user or password. The house's passwords are told by: sudo boondock broker --show",
    "Der Broker kennt diesen Benutzer oder dieses Passwort nicht. Die Passwörter zeigt: sudo boondock broker --show",
    "Le broker ne connaît pas cet utilisateur ou ce mot de passe. Pour les voir : sudo boondock broker --show",
    "El broker no conoce este usuario o contraseña. Para verlos: sudo boondock broker --show",
    "De broker kent deze gebruiker of dit wachtwoord niet. Ze staan in: sudo boondock broker --show",
    "ユーザー名またはパスワードが違います。確認: sudo boondock broker --show"],
  language: ["Language", "Sprache", "Langue", "Idioma", "Taal", "言語"],
  arrange: ["Arrange", "Anordnen", "Organiser", "Organizar", "Indelen", "並べ替え"],
  hide: ["Hide", "Ausblenden", "Masquer", "Ocultar", "Verbergen", "隠す"],
  show: ["Show", "Zeigen", "Afficher", "Mostrar", "Tonen", "表示"],
  hidden: ["Hidden", "Ausgeblendet", "Masqués", "Ocultos", "Verborgen", "非表示"],
  up: ["Up", "Nach oben", "Monter", "Subir", "Omhoog", "上へ"],
  down: ["Down", "Nach unten", "Descendre", "Bajar", "Omlaag", "下へ"],
  name: ["Name", "Name", "Nom", "Nombre", "Naam", "名前"],
  for_all: ["Save for all browsers", "Für alle Browser speichern", "Enregistrer pour tous", "Guardar para todos", "Opslaan voor allen", "全ブラウザーに保存"],
  standard: ["Back to the standard", "Zurück zum Standard", "Revenir au standard", "Volver al estándar", "Terug naar standaard", "標準に戻す"],
  more: ["{count} more", "{count} weitere", "{count} de plus", "{count} más", "nog {count}", "他{count}件"],
  close: ["Close", "Schließen", "Fermer", "Cerrar", "Sluiten", "閉じる"],
  cancel: ["Cancel", "Abbrechen", "Annuler", "Cancelar", "Annuleren", "キャンセル"],
  save: ["Save", "Speichern", "Enregistrer", "Guardar", "Opslaan", "保存"],
  wall: ["Wall display", "Wandanzeige", "Affichage mural", "Pantalla mural", "Wandscherm", "壁掛け表示"],
  nothing: ["No device has reported yet. Is a collector running? boondock status tells.",
    "Noch hat kein Gerät etwas gemeldet. Läuft ein Collector? boondock status sagt es.",
    "Aucun appareil n’a encore parlé. Un collecteur fonctionne-t-il ? Voir boondock status.",
    "Ningún aparato ha informado todavía. ¿Funciona un colector? Lo dice boondock status.",
    "Nog geen apparaat heeft iets gemeld. Draait er een collector? boondock status zegt het.",
    "まだ機器からの報告がありません。boondock status で確認してください。"],
  no_answer: ["No answer came. Is the service running? Look at House.", "Es kam keine Antwort. Läuft der Dienst? Siehe Haus.",
    "Pas de réponse. Le service fonctionne-t-il ? Voir Maison.", "No hubo respuesta. ¿Funciona el servicio? Vea Casa.",
    "Er kwam geen antwoord. Draait de dienst? Zie Huis.", "応答がありません。「システム」を確認してください。"],
  no_right: ["This user may not do that.", "Dieser Benutzer darf das nicht.", "Cet utilisateur n’en a pas le droit.",
    "Este usuario no puede hacerlo.", "Deze gebruiker mag dat niet.", "このユーザーには権限がありません。"],
  no_link: ["There is no connection now; nothing was sent.", "Es gibt gerade keine Verbindung; nichts wurde gesendet.",
    "Pas de connexion ; rien n’a été envoyé.", "No hay conexión; no se envió nada.",
    "Er is geen verbinding; er is niets verzonden.", "接続がないため送信されませんでした。"],
  // Charts and History
  chart_keys: ["Arrow keys read the values, with Shift they move the time, plus and minus zoom",
    "Pfeiltasten lesen die Werte, mit Umschalt verschieben sie die Zeit, Plus und Minus zoomen",
    "Les flèches lisent les valeurs, avec Maj elles déplacent le temps, plus et moins zooment",
    "Las flechas leen los valores, con Mayús mueven el tiempo, más y menos amplían",
    "Pijltjes lezen de waarden, met Shift verschuiven ze de tijd, plus en min zoomen",
    "矢印キーで値を読み、Shiftと矢印で時間を移動、プラスとマイナスで拡大縮小"],
  range: ["Time range", "Zeitraum", "Période", "Periodo", "Periode", "期間"],
  everything: ["all", "alles", "tout", "todo", "alles", "全期間"],
  earlier: ["Earlier", "Früher", "Plus tôt", "Antes", "Eerder", "前へ"],
  later: ["Later", "Später", "Plus tard", "Después", "Later", "次へ"],
  until_now: ["now", "jetzt", "maintenant", "ahora", "nu", "現在"],
  add: ["Add values", "Werte hinzufügen", "Ajouter des valeurs", "Añadir valores", "Waarden toevoegen", "値を追加"],
  remove: ["Remove", "Entfernen", "Retirer", "Quitar", "Verwijderen", "外す"],
  search: ["Search", "Suchen", "Chercher", "Buscar", "Zoeken", "検索"],
  none_found: ["Nothing has this name.", "Nichts heißt so.", "Rien ne porte ce nom.", "Nada tiene ese nombre.", "Niets heet zo.", "該当する値がありません。"],
  most: ["{count} values fit into one chart; remove one first.", "{count} Werte passen in ein Diagramm; entfernen Sie erst einen.",
    "Un graphique contient {count} valeurs ; retirez-en une d’abord.", "Caben {count} valores en un gráfico; quite uno antes.",
    "In een grafiek passen {count} waarden; verwijder er eerst een.", "グラフに表示できるのは{count}件までです。先に一つ外してください。"],
  previous: ["Period before", "Zeitraum davor", "Période d’avant", "Periodo anterior", "Periode ervoor", "前の期間"],
  bars_by: ["Bars by", "Balken je", "Barres par", "Barras por", "Balken per", "棒グラフの単位"],
  by_5minute: ["5 minutes", "5 Minuten", "5 minutes", "5 minutos", "5 minuten", "5分"],
  by_hour: ["hour", "Stunde", "heure", "hora", "uur", "時間"],
  by_day: ["day", "Tag", "jour", "día", "dag", "日"],
  by_week: ["week", "Woche", "semaine", "semana", "week", "週"],
  by_month: ["month", "Monat", "mois", "mes", "maand", "月"],
  by_year: ["year", "Jahr", "année", "año", "jaar", "年"],
  csv: ["Save as CSV", "Als CSV speichern", "Enregistrer en CSV", "Guardar como CSV", "Opslaan als CSV", "CSVで保存"],
  picture: ["Save as picture", "Als Bild speichern", "Enregistrer l’image", "Guardar como imagen", "Opslaan als afbeelding", "画像で保存"],
  no_picture: ["This browser cannot make a picture.", "Dieser Browser kann kein Bild machen.", "Ce navigateur ne peut pas créer d’image.",
    "Este navegador no puede crear una imagen.", "Deze browser kan geen afbeelding maken.", "このブラウザーでは画像を作成できません。"],
  mean: ["mean", "Mittel", "moyenne", "media", "gemiddeld", "平均"],
  lowest: ["lowest", "tiefster", "minimum", "mínimo", "laagste", "最小"],
  highest: ["highest", "höchster", "maximum", "máximo", "hoogste", "最大"],
  sum: ["sum", "Summe", "total", "suma", "som", "合計"],
  best_day: ["best day", "bester Tag", "meilleur jour", "mejor día", "beste dag", "最高の日"],
  best_hour: ["best hour", "beste Stunde", "meilleure heure", "mejor hora", "beste uur", "最高の時間"],
  known: ["{share} known", "{share} bekannt", "{share} connu", "{share} conocido", "{share} bekend", "{share} 計測済み"],
  partly: ["Hollow: known only in part. A gap: nothing is known.", "Hohl: nur zum Teil bekannt. Lücke: nichts bekannt.",
    "Creux : connu en partie seulement. Vide : rien n’est connu.", "Hueco: conocido solo en parte. Espacio vacío: no se sabe nada.",
    "Hol: maar deels bekend. Een gat: niets bekend.", "中抜き: 一部のみ計測。空白: 計測なし。"],
  no_data: ["Nothing is stored for this time.", "Für diese Zeit ist nichts gespeichert.", "Rien n’est enregistré pour cette période.",
    "No hay nada guardado de este tiempo.", "Voor deze tijd is niets opgeslagen.", "この期間のデータはありません。"],
  loading: ["Loading …", "Wird geladen …", "Chargement …", "Cargando …", "Laden …", "読み込み中…"],
  table: ["As a table", "Als Tabelle", "En tableau", "Como tabla", "Als tabel", "表で見る"],
  newest_rows: ["The newest {count} lines; CSV has all.", "Die neuesten {count} Zeilen; CSV hat alle.", "Les {count} dernières lignes ; le CSV les a toutes.",
    "Las {count} líneas más recientes; el CSV las tiene todas.", "De nieuwste {count} regels; CSV heeft ze alle.", "最新の{count}行です。全行はCSVにあります。"],
  begin: ["Start", "Beginn", "Début", "Inicio", "Begin", "開始"],
  gone: ["{name} is not reported by any device now.", "{name} wird zurzeit von keinem Gerät gemeldet.", "{name} n’est signalé par aucun appareil.",
    "Ningún aparato informa ahora de {name}.", "{name} wordt nu door geen apparaat gemeld.", "{name} を報告している機器は現在ありません。"],
  choose_values: ["Choose what to see.", "Wählen Sie, was Sie sehen möchten.", "Choisissez ce que vous voulez voir.", "Elija lo que quiere ver.", "Kies wat u wilt zien.", "表示する値を選んでください。"],
  // House
  problems: ["Problems", "Probleme", "Problèmes", "Problemas", "Problemen", "問題"],
  all_well: ["Everything works.", "Alles funktioniert.", "Tout fonctionne.", "Todo funciona.", "Alles werkt.", "すべて正常に動作しています。"],
  services: ["Services", "Dienste", "Services", "Servicios", "Diensten", "サービス"],
  in_queue: ["{count} waiting", "{count} warten", "{count} en attente", "{count} en espera", "{count} wachten", "待機 {count}件"],
  in_outbox: ["{count} not stored", "{count} nicht gespeichert", "{count} non enregistrés", "{count} sin guardar", "{count} niet opgeslagen", "未保存 {count}件"],
  versions_differ: ["Not all services have the same version. Restart those that are older.", "Nicht alle Dienste haben dieselbe Version. Starten Sie die älteren neu.",
    "Les services n’ont pas tous la même version. Redémarrez les plus anciens.", "No todos los servicios tienen la misma versión. Reinicie los más antiguos.",
    "Niet alle diensten hebben dezelfde versie. Herstart de oudere.", "サービスのバージョンが一致していません。古いものを再起動してください。"],
  counters: ["Counters", "Zähler", "Compteurs", "Contadores", "Tellers", "カウンター"],
  last_error: ["Last error, {time}", "Letzter Fehler, {time}", "Dernière erreur, {time}", "Último error, {time}", "Laatste fout, {time}", "最後のエラー {time}"],
  devices: ["Devices", "Geräte", "Appareils", "Aparatos", "Apparaten", "機器"],
  model: ["Model", "Modell", "Modèle", "Modelo", "Model", "型番"],
  firmware: ["Firmware", "Firmware", "Micrologiciel", "Firmware", "Firmware", "ファームウェア"],
  serial_number: ["Serial number", "Seriennummer", "Numéro de série", "Número de serie", "Serienummer", "シリアル番号"],
  read_by: ["Read by", "Gelesen von", "Lu par", "Leído por", "Gelezen door", "読み取り"],
  last_heard: ["Last heard", "Zuletzt gehört", "Dernière nouvelle", "Última noticia", "Laatst gehoord", "最終受信"],
  never: ["never", "nie", "jamais", "nunca", "nooit", "なし"],
  written: ["Written to the card: {amount} a day on average", "Auf die Karte geschrieben: im Mittel {amount} am Tag", "Écrit sur la carte : {amount} par jour en moyenne",
    "Escrito en la tarjeta: {amount} al día de media", "Naar de kaart geschreven: gemiddeld {amount} per dag", "カードへの書き込み: 1日平均 {amount}"],
  facts: ["Clock, backup and more", "Uhr, Sicherung und mehr", "Horloge, sauvegarde et plus", "Reloj, copia y más", "Klok, back-up en meer", "時計・バックアップほか"],
  clock: ["Clock", "Uhr", "Horloge", "Reloj", "Klok", "時計"],
  backup: ["Backup", "Sicherung", "Sauvegarde", "Copia de seguridad", "Back-up", "バックアップ"],
  backup_all: ["Backup of everything", "Sicherung von allem", "Sauvegarde complète", "Copia de todo", "Back-up van alles", "全体のバックアップ"],
  pins: ["Pins", "Anschlüsse", "Broches", "Pines", "Pinnen", "ピン"],
  radio: ["Bluetooth", "Bluetooth", "Bluetooth", "Bluetooth", "Bluetooth", "Bluetooth"],
  disk: ["Disk", "Datenträger", "Disque", "Disco", "Schijf", "ディスク"],
  house_time: ["Time of the house", "Zeit des Hauses", "Heure de la maison", "Hora de la casa", "Tijd van het huis", "システムの時刻"],
  browser_ahead: ["The clock of this browser is {time} ahead. The page uses the house’s time.", "Die Uhr dieses Browsers geht {time} vor. Die Seite nimmt die Zeit des Hauses.",
    "L’horloge de ce navigateur avance de {time}. La page utilise l’heure de la maison.", "El reloj de este navegador va {time} adelantado. La página usa la hora de la casa.",
    "De klok van deze browser loopt {time} voor. De pagina gebruikt de tijd van het huis.", "このブラウザーの時計は{time}進んでいます。表示はシステムの時刻です。"],
  browser_behind: ["The clock of this browser is {time} behind. The page uses the house’s time.", "Die Uhr dieses Browsers geht {time} nach. Die Seite nimmt die Zeit des Hauses.",
    "L’horloge de ce navigateur retarde de {time}. La page utilise l’heure de la maison.", "El reloj de este navegador va {time} atrasado. La página usa la hora de la casa.",
    "De klok van deze browser loopt {time} achter. De pagina gebruikt de tijd van het huis.", "このブラウザーの時計は{time}遅れています。表示はシステムの時刻です。"],
  who_switched: ["Who switched what", "Wer hat was geschaltet", "Qui a commandé quoi", "Quién conmutó qué", "Wie schakelde wat", "操作の記録"],
  only_admin: ["Only a user with the right “admin” sees this.", "Das sieht nur ein Benutzer mit dem Recht „admin“.", "Seul un utilisateur « admin » voit ceci.",
    "Solo lo ve un usuario con el derecho «admin».", "Alleen een gebruiker met het recht ‘admin’ ziet dit.", "「admin」権限のユーザーだけが表示できます。"],
  nothing_yet: ["Nothing yet.", "Noch nichts.", "Rien pour l’instant.", "Nada todavía.", "Nog niets.", "まだありません。"],
  left_out: ["{count} more lines before it were left out", "davor fehlen {count} weitere Zeilen", "{count} autres lignes avant ont été omises", "antes se omitieron {count} líneas más",
    "{count} regels ervoor zijn weggelaten", "これより前の{count}行は省略されました"],
} as const satisfies Record<string, readonly [string, string, string, string, string, string]>;

export type Word = keyof typeof TABLE;

function first(): Language {
  const kept = localStorageItem("boondock.language");
  const wished = [kept, ...navigator.languages].map((one) => one?.slice(0, 2));
  return LANGUAGES.find((one) => one === wished.find((w) => LANGUAGES.includes(w as Language))) ?? "en";
}

function localStorageItem(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // a browser that keeps nothing
  }
}

export const language: Signal<Language> = signal(first());
const at = computed(() => LANGUAGES.indexOf(language.value));

/** The language with the region of this browser, for numbers and times: `en` may be `en-GB`. */
export const locale = computed(() => navigator.languages.find((one) => one.slice(0, 2) === language.value) ?? language.value);

/** Choose the language and keep it in this browser. */
export function choose(chosen: Language): void {
  language.value = chosen;
  try {
    localStorage.setItem("boondock.language", chosen);
  } catch {
    // Not kept; it is chosen again next time.
  }
}

/** A text of the table in the chosen language. */
export function t(word: Word, filled: Record<string, string> = {}): string {
  return TABLE[word][at.value]!.replace(/\{(\w+)\}/g, (_, key: string) => filled[key] ?? "");
}
