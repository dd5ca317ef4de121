/** Messages of the contract (docs/contract.md) as the page reads them. */

export type Value = number | string | null;

/** What a value is in the energy flow of the house; with `device_class` it is exact. */
export type Role =
  | "battery" | "starter" | "solar" | "grid" | "charger" | "alternator" | "generator" | "load" | "tank";

export interface Entity {
  name: string;
  unit?: string;
  device_class?: string;
  state_class?: string;
  precision?: number;
  options?: string[];
  range?: [number, number];
  step?: number;
  command?: boolean;
  boolean?: boolean;
  diagnostic?: boolean;
  daily?: boolean;
  role?: Role;
}

export interface About {
  name: string;
  service?: string;
  manufacturer?: string;
  model?: string;
  model_id?: string;
  serial_number?: string;
  sw_version?: string;
  backend?: string;
  expire_after?: number;
  entities: Record<string, Entity>;
}

export interface Health {
  version?: string;
  started?: string;
  uptime?: number;
  rss?: number;
  queue?: number;
  outbox?: number | null;
  counters?: Record<string, number>;
  facts?: Record<string, string>;
  problems?: Record<string, string>;
  last_error?: { ts: string; message: string } | null;
}

/** The answer to a command. */
export interface Result {
  id?: string | null;
  status: "ok" | "error";
  code: string | null;
  message: string;
  value?: Value;
  actual?: Value;
  until?: string | null;
  ts?: string;
}

/** An alarm on `camper/alarm/<id>`. */
export interface Alarm {
  state: "ok" | "active" | "acknowledged";
  since?: string;
  value?: Value;
  text?: string;
}

/** What a user of the broker may do; each may what the one before may. */
export type Right = "viewer" | "operator" | "admin";
