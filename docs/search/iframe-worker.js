// Browsers start no worker from a file. If the website is opened as files, its
// search runs in a hidden frame instead, which exchanges the same messages.

// The program of the search looks for a class of this name.
window.IFrameWorker = class extends EventTarget {
  constructor(url) {
    super();
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    this.inside = frame.contentWindow;
    const page = this.inside.document;
    page.open();
    page.write("<!doctype html><body></body>");
    page.close();
    this.inside.postMessage = (data) =>
      this.dispatchEvent(new MessageEvent("message", { data }));
    const script = page.createElement("script");
    this.started = new Promise((done) => (script.onload = done));
    script.src = url;
    page.body.append(script);
  }

  async postMessage(data) {
    await this.started;
    this.inside.dispatchEvent(
      new this.inside.MessageEvent("message", { data: structuredClone(data) })
    );
  }
};

if (location.protocol === "file:") window.Worker = window.IFrameWorker;
