//! A real browser, driven by WebDriver (W3C): Debian's Chromium and its driver, each test with a fresh profile.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::home::free_ports;
use crate::wait_for;
use crate::wire::read_answer;

/// A browser with one window.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    profile: TempDir,
}

impl Browser {
    /// Starts one that asks for pages in `language`.
    pub fn start(language: &str) -> Self {
        let port = free_ports()[0];
        let driver = Command::new("chromedriver")
            .args([format!("--port={port}"), "--silent".to_owned()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed: tests/run does it");
        let profile = TempDir::new().expect("a folder for the profile");
        let mut browser = Self { driver, port, session: String::new(), profile };
        wait_for("the driver", || TcpStream::connect(("127.0.0.1", port)).ok());
        let folder = format!("--user-data-dir={}", browser.profile.path().display());
        let options = json!({
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--hide-scrollbars", folder,
            ],
            "prefs": { "intl.accept_languages": language, "download.default_directory": browser.downloads() },
        });
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let answer = browser.ask("POST", "/session", &capabilities);
        browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the driver answers");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
        let body = if method == "POST" { body.to_string() } else { String::new() };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.port,
            body.len()
        )
        .expect("a request");
        let answer = read_answer(&mut stream).expect("an answer");
        let mut said: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(answer.status, 200, "{method} {path}: {}", said["value"]["message"]);
        said["value"].take()
    }

    fn of_session(&self, method: &str, path: &str, body: &Value) -> Value {
        self.ask(method, &format!("/session/{}{path}", self.session), body)
    }

    /// Goes to an address and waits until it is loaded.
    pub fn go(&self, url: &str) {
        self.of_session("POST", "/url", &json!({ "url": url }));
    }

    /// Where the browser puts what it takes down.
    fn downloads(&self) -> PathBuf {
        self.profile.path().join("downloads")
    }

    /// A file that was taken down, once it is whole: until then it has another name.
    pub fn downloaded(&self, name: &str) -> Vec<u8> {
        wait_for("the file", || fs::read(self.downloads().join(name)).ok().filter(|bytes| !bytes.is_empty()))
    }

    /// Where it is.
    pub fn address(&self) -> String {
        self.of_session("GET", "/url", &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    /// What a script returns; `arguments` are its arguments. A promise is waited for.
    pub fn run(&self, script: &str, arguments: &[Value]) -> Value {
        self.of_session("POST", "/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Whether something is there.
    pub fn has(&self, css: &str) -> bool {
        self.run("return document.querySelector(arguments[0]) !== null", &[json!(css)]) == json!(true)
    }

    /// The text that a reader sees.
    pub fn text(&self, css: &str) -> String {
        let text = self.run("return document.querySelector(arguments[0])?.innerText ?? ''", &[json!(css)]);
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks, as a reader does, on the first element; what is not visible cannot be clicked.
    pub fn click(&self, css: &str) {
        let element = self.element(css);
        self.of_session("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Types into a field.
    pub fn fill(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.of_session("POST", &format!("/element/{element}/clear"), &json!({}));
        self.of_session("POST", &format!("/element/{element}/value"), &json!({ "text": text }));
    }

    fn element(&self, css: &str) -> String {
        let found = self.of_session("POST", "/element", &json!({ "using": "css selector", "value": css }));
        let id = found.as_object().and_then(|found| found.values().next()?.as_str().map(str::to_owned));
        id.unwrap_or_else(|| panic!("nothing is at {css}"))
    }

    /// Sets the window's size, in pixels of CSS.
    pub fn size(&self, width: u32, height: u32) {
        self.of_session("POST", "/window/rect", &json!({ "width": width, "height": height }));
    }

    /// Asks pages for the dark scheme, or the light one.
    pub fn scheme(&self, scheme: &str) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let command = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        self.of_session("POST", "/goog/cdp/execute", &command);
    }

    /// Writes a picture of the whole page.
    pub fn picture(&self, file: &Path) {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let command = json!({ "cmd": "Page.captureScreenshot", "params": params });
        let shot = self.of_session("POST", "/goog/cdp/execute", &command);
        let bytes = STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        fs::create_dir_all(file.parent().expect("a folder")).expect("the folder");
        fs::write(file, bytes).expect("the picture is written");
    }

    /// What the browser complained of since the last time: violations of the page's policy, failed scripts and requests.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.of_session("POST", "/se/log", &json!({ "type": "browser" }));
        let lines = log.as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // By hand, and whatever comes of it: a test that fails must not leave its browser behind.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = write!(
                stream,
                "DELETE /session/{} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
                self.session, self.port
            );
            let _ = read_answer(&mut stream);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
