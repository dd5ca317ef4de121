export function House() {
  return <p />;
}
