export function Mend() {
  return <p />;
}
