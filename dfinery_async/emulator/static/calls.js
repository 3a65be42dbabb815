// Calls to the emulator. Those that change something carry a header that other sites' pages can't send.

export class Refused extends Error {}

export async function get(path, query = {}) {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  return answer(await fetch(`${path}?${words}`, { cache: "no-store" }));
}

export async function change(method, path, body = "") {
  const headers = { "x-dfinery-emulator": "page", "content-type": "text/plain" };
  return answer(await fetch(path, { method, headers, body: method === "POST" ? body : undefined }));
}

async function answer(reply) {
  const value = await reply.json();
  if (!reply.ok) throw new Refused(value.error ?? `HTTP ${reply.status}`);
  return value;
}
