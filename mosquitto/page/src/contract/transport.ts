/** The only file that knows the MQTT library: one connection over a WebSocket, MQTT 5. */
import { mqtt_v5 } from "u8-mqtt/esm/web/basic-v5.js";

export interface Login {
  user: string;
  password: string;
}

export interface Message {
  topic: string;
  payload: string;
  retained: boolean;
  /** Correlation Data of MQTT 5, empty if there is none. */
  correlation: string;
}

export interface Publication {
  retain?: boolean;
  responseTopic?: string;
  correlation?: string;
  /** Seconds after which the broker no longer delivers it. */
  expiry?: number;
}

/** The broker said no; `reason` is a CONNACK code of MQTT 5, section 3.2.2.2. */
export class RefusedError extends Error {
  constructor(readonly reason: number) {
    super(`the broker refused the connection: 0x${reason.toString(16)}`);
  }
  /** Whether another user name or password may help. */
  get isLogin(): boolean {
    return [0x84, 0x85, 0x86, 0x87, 0x8c].includes(this.reason);
  }
}

/** The reason of a PUBACK that says the user may not write there. */
export const NOT_AUTHORISED = 0x87;

const KEEP_ALIVE_S = 30;
const CONNECT_MS = 10_000;

export interface Connection {
  /** Publish with QoS 1; resolves to the reason code of the PUBACK. Rejects if the connection ends first. */
  publish(topic: string, payload: string, options?: Publication): Promise<number>;
  /** Subscribe with QoS 0; resolves to one reason code a filter. */
  subscribe(filters: string[]): Promise<number[]>;
  unsubscribe(filters: string[]): Promise<void>;
  /** Ask the broker for a sign of life; an answer or the end of the connection follows. */
  ping(): void;
  close(): void;
}

/**
 * Connect to the broker.
 *
 * @param onMessage called with each message, in order
 * @param onClose called once when the connection has ended, also after `close`
 * Rejects with RefusedError if the broker says no, with Error if it cannot be reached.
 */
export async function connect(
  url: string,
  clientId: string,
  login: Login | null,
  onMessage: (message: Message) => void,
  onClose: () => void,
): Promise<Connection> {
  const socket = new WebSocket(url, ["mqtt"]);
  let live = false;
  let ended: (error: Error) => void = () => undefined;
  const end = new Promise<never>((_, reject) => (ended = reject));
  end.catch(() => undefined);
  const text = new TextDecoder();

  const client = mqtt_v5({
    sess_stg: null,
    rotate: { td: 3000, n: 5 },
    log_conn: () => undefined,
    on_error: () => undefined,
    on_disconnect: () => undefined,
    on_live: () => undefined,
    on_mqtt_type: {
      mqtt_publish(packet: Packet) {
        onMessage({
          topic: packet.topic,
          payload: text.decode(packet.payload),
          retained: Boolean(packet.retain),
          correlation: text.decode(packet.props?.correlation_data ?? new Uint8Array()),
        });
      },
      mqtt_pingresp: () => clearTimeout(silence),
      mqtt_disconnect: () => giveUp(),
    },
  });
  client.with_websock(socket);
  // Without a network the browser says "close" late or never: whoever gives the link up does not wait for it.
  let isOver = false;
  const giveUp = () => {
    if (isOver) return;
    isOver = true;
    clearInterval(beat);
    clearTimeout(silence);
    socket.close();
    ended(new Error("the connection has ended"));
    if (live) onClose();
  };
  socket.addEventListener("close", giveUp);

  // A link that is dead without a close (a phone that slept) is found by a ping without an answer.
  let silence = 0;
  const ping = () => {
    clearTimeout(silence);
    silence = window.setTimeout(giveUp, CONNECT_MS);
    void Promise.resolve(client._send0("pingreq")).catch(giveUp);
  };
  let beat = 0;

  const timeout = window.setTimeout(giveUp, CONNECT_MS);
  try {
    const asked = client.connect({
      client_id: clientId,
      keep_alive: KEEP_ALIVE_S * 2,
      flags: { clean_start: true },
      ...(login ? { username: login.user, password: login.password } : {}),
    });
    asked.catch(() => undefined);
    await Promise.race([asked, end]);
  } catch (error) {
    giveUp();
    const reason = Number((error as { reason?: unknown }).reason);
    throw Number.isNaN(reason) || reason === 0 ? error : new RefusedError(reason);
  } finally {
    clearTimeout(timeout);
  }
  live = true;
  client.conn.ping(0);
  beat = window.setInterval(ping, KEEP_ALIVE_S * 1000);

  const answered = async (sent: Promise<[Packet | undefined]>): Promise<Packet> => {
    const [packet] = await Promise.race([sent, end]);
    if (packet === undefined) throw new Error("the broker did not answer");
    return packet;
  };
  return {
    async publish(topic, payload, options = {}) {
      const props = {
        ...(options.responseTopic ? { response_topic: options.responseTopic } : {}),
        ...(options.correlation ? { correlation_data: new TextEncoder().encode(options.correlation) } : {}),
        ...(options.expiry ? { message_expiry_interval: options.expiry } : {}),
      };
      const packet = { topic, payload, qos: 1, retain: options.retain ? 1 : 0, props };
      return Number((await answered(client.pub(packet))).reason ?? 0);
    },
    async subscribe(filters) {
      const packet = await answered(client.subscribe(filters.map((filter) => [filter, { qos: 0 }])));
      return (packet.answers ?? []).map(Number);
    },
    async unsubscribe(filters) {
      await answered(client.unsubscribe(filters));
    },
    ping,
    close: giveUp,
  };
}

interface Packet {
  topic: string;
  payload: Uint8Array;
  retain?: number | boolean;
  reason?: number | { valueOf(): number };
  answers?: unknown[];
  props?: { correlation_data?: Uint8Array };
}
