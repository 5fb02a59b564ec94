// The HTTP API as the dashboard uses it: with the token on every request, and errors as sentences.

export const PREFIX = "/api/v1";

/** What the API answered instead; `message` is made to be read by a person. */
export class Problem extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Api {
  #token;
  #refused;

  /** `refused` is called when the token is not taken. */
  constructor(token, refused) {
    this.#token = token;
    this.#refused = refused;
  }

  get(path, signal) {
    return this.#json("GET", path, { signal });
  }

  post(path, body, headers = {}) {
    return this.#json("POST", path, { body, headers });
  }

  delete(path) {
    return this.#json("DELETE", path, {});
  }

  /** The response itself, once it is known to be a good one. Raises Problem; TypeError when nobody answers. */
  async ask(method, path, { body, headers = {}, signal } = {}) {
    const typed = body === undefined ? {} : { "Content-Type": "application/json" };
    const response = await fetch(PREFIX + path, {
      method,
      headers: { Authorization: `Bearer ${this.#token}`, ...typed, ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      credentials: "omit",
      cache: "no-store",
    });
    if (response.ok) return response;
    const problem = await told(response);
    if (response.status === 401) this.#refused();
    throw problem;
  }

  async #json(method, path, options) {
    return (await this.ask(method, path, options)).json();
  }
}

/** A sentence for whatever went wrong. */
export function sentence(error) {
  if (error instanceof Problem) return error.message;
  if (error instanceof TypeError) return "The coordinator does not answer.";
  throw error;
}

async function told(response) {
  const text = await response.text();
  let document;
  try {
    document = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return new Problem(response.status, `${response.status} ${response.statusText}`);
  }
  const parts = (document.problems ?? []).map(
    ({ field, found, allowed, suggestion }) =>
      `${field}: ${found}; allowed: ${allowed}${suggestion ? `; did you mean ${suggestion}?` : ""}`,
  );
  return new Problem(response.status, parts.length > 0 ? parts.join("\n") : document.detail);
}
