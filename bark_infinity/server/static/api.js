// Requests to the server. Errors have the server's own sentence as their message.

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answer(response) {
  if (response.status === 401) location.assign("/login");
  if (response.status === 204) return null;
  const content = await response.json().catch(() => ({}));
  if (!response.ok) throw new ServerError(response.status, content.error?.message ?? `${response.status} ${response.statusText}`);
  return content;
}

export async function get(path, signal) {
  return answer(await fetch(path, { signal, cache: "no-store" }));
}

export async function send(method, path, content, signal) {
  const request = { method, signal };
  if (content !== undefined) {
    request.body = JSON.stringify(content);
    request.headers = { "Content-Type": "application/json" };
  }
  return answer(await fetch(path, request));
}

/** Upload a file. Returns what the server says of it: id, name and kind. */
export async function upload(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  return answer(await fetch("/v1/uploads", { method: "POST", body: form }));
}

/** The address of something of a job, with its parts quoted. */
export function ofJob(id, ...parts) {
  return ["/api/jobs", id, ...parts].map((part, k) => (k ? encodeURIComponent(part) : part)).join("/");
}
