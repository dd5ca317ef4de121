declare module "u8-mqtt/esm/web/basic-v5.js" {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  export function mqtt_v5(options: Record<string, unknown>): any;
}
