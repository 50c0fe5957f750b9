// Asks the server. The key is kept in this tab's session storage alone, and is sent to this server alone.

const KEY = "dovetail.key";

export const key = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

// The answer was an error; `status` 0: there was no answer.
export class Refused extends Error {
  constructor(status, code, message, { param = null, retryAfter = null, requestId = null } = {}) {
    super(message);
    Object.assign(this, { status, code, param, retryAfter, requestId });
  }
}

let unauthorised = () => {};

// `said` is told why whenever the server no longer takes the key.
export function onUnauthorised(said) {
  unauthorised = said;
}

// `quiet`: whoever asks deals with a refused key alone.
async function request(path, { method = "GET", body, signal, quiet = false } = {}) {
  const headers = {};
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers,
      signal,
      cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "unreachable", "The server does not answer.");
  }
  if (answer.ok) return answer;
  const refused = await refusal(answer);
  if (answer.status === 401 && !quiet) unauthorised(refused);
  throw refused;
}

async function refusal(answer) {
  const more = { retryAfter: answer.headers.get("retry-after"), requestId: answer.headers.get("x-request-id") };
  const told = await answer.json().catch(() => null);
  const error = told?.error ?? {};
  return new Refused(answer.status, error.code ?? null, error.message ?? `The server answered ${answer.status}.`, {
    ...more,
    param: error.param,
  });
}

export async function ask(path, options) {
  return (await request(path, options)).json();
}

export async function askText(path, options) {
  const answer = await request(path, options);
  return { text: await answer.text(), type: answer.headers.get("content-type") ?? "" };
}

// Server-sent events as { event, data }, data parsed; a stream that breaks off is a Refused like any other.
export async function* stream(path, body, signal) {
  const answer = await request(path, { method: "POST", body, signal });
  const requestId = answer.headers.get("x-request-id");
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const pieces = (rest + value).split("\n\n");
      rest = pieces.pop();
      for (const piece of pieces) {
        const event = parse(piece);
        if (event) yield { ...event, requestId };
      }
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Refused) throw error;
    throw new Refused(0, "broken_off", "The connection broke off before the answer was complete.", { requestId });
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(piece) {
  let event = "message";
  let data = "";
  for (const line of piece.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  if (!data || data === "[DONE]") return null;
  const parsed = JSON.parse(data);
  if (parsed.error) throw new Refused(200, parsed.error.code ?? null, parsed.error.message ?? "The answer failed.");
  return { event, data: parsed };
}
