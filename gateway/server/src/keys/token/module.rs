//! Modules and sessions. A module is loaded and initialised once in a process; a session is used by one thread at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use anyhow::{Context as _, Result};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use silkgate_message::jws::Digest;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::Pin;

/// Sessions with one token at once: networked hardware bounds them, and more threads than that would only wait there.
const SESSIONS_MAX: usize = 8;

/// Why a token did not do its part.
#[derive(Debug)]
pub enum Fault {
    /// What was asked for is not there.
    Absent(String),
    /// The token or its module.
    Token(Error),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Absent(what) | Fault::Other(what) => f.write_str(what),
            Fault::Token(Error::Pkcs11(code, function)) => write!(f, "C_{function:?}: {code:?}"),
            Fault::Token(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Token(error)
    }
}

/// What was loaded in this process: initialising is for the whole process, and so is logging in.
static MODULES: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());

struct Module {
    /// Read while the module is in use, written while it is started anew.
    context: RwLock<Pkcs11>,
    tokens: Mutex<BTreeMap<String, Arc<Token>>>,
}

/// A token, by its label.
pub(super) struct Token {
    label: String,
    path: PathBuf,
    sessions: Mutex<Sessions>,
    returned: Condvar,
    /// The digest of a PIN that the token refused: asked again and again it would lock itself.
    refused: Mutex<Option<Digest>>,
}

#[derive(Default)]
struct Sessions {
    idle: Vec<Session>,
    in_use: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn initialise(context: &Pkcs11) -> Result<(), Error> {
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        other => other,
    }
}

impl Module {
    fn at(path: &Path) -> Result<Arc<Self>> {
        let mut modules = lock(&MODULES);
        if let Some(module) = modules.get(path) {
            return Ok(module.clone());
        }
        let context = Pkcs11::new(path).with_context(|| format!("{}: cannot be loaded", path.display()))?;
        let started = initialise(&context).map_err(Fault::from);
        started.with_context(|| format!("{}: does not start", path.display()))?;
        let module = Arc::new(Self { context: RwLock::new(context), tokens: Mutex::default() });
        modules.insert(path.to_owned(), module.clone());
        Ok(module)
    }
}

/// Starts every module anew that nobody uses at this moment: some find hardware that came back no other way. Sessions are
/// opened again as they are needed.
pub fn revive() {
    let modules: Vec<_> = lock(&MODULES).values().cloned().collect();
    for module in modules {
        // One that hangs in a call is left alone; whoever waited here would hold up everybody behind it.
        let Ok(context) = module.context.try_write() else { continue };
        for token in lock(&module.tokens).values() {
            lock(&token.sessions).idle.clear();
        }
        if let Err(error) = context.clone().finalize().map_err(Fault::from) {
            tracing::debug!(%error, "a PKCS#11 module did not end");
        }
        if let Err(error) = initialise(&context).map_err(Fault::from) {
            tracing::debug!(%error, "a PKCS#11 module does not start again");
        }
    }
}

impl Token {
    pub(super) fn of(path: &Path, label: &str) -> Result<Arc<Self>> {
        let module = blocking(|| Module::at(path))?;
        let token = || Token {
            label: label.to_owned(),
            path: path.to_owned(),
            sessions: Mutex::default(),
            returned: Condvar::new(),
            refused: Mutex::default(),
        };
        Ok(lock(&module.tokens).entry(label.to_owned()).or_insert_with(|| Arc::new(token())).clone())
    }

    /// Does work in a session, one that is open already if there is one; where it fails there, once more in a new one:
    /// the token may have closed it. The work is told whether the session is new.
    pub(super) fn with<T>(
        &self,
        pin: &Pin,
        work: impl Fn(&Session, bool) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.turn(pin, true, work)
    }

    /// The same in a new session only, for work that must not be done twice.
    pub(super) fn anew<T>(&self, pin: &Pin, work: impl Fn(&Session) -> Result<T, Fault>) -> Result<T, Fault> {
        self.turn(pin, false, |session, _| work(session))
    }

    fn turn<T>(
        &self,
        pin: &Pin,
        from_idle: bool,
        work: impl Fn(&Session, bool) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        blocking(|| {
            let module = Module::at(&self.path).map_err(|error| Fault::Other(format!("{error:#}")))?;
            let place = Place::take(self);
            // After the place: whoever waits for one does not keep the module from being started anew.
            let context = module.context.read().unwrap_or_else(PoisonError::into_inner);
            let idle = if from_idle { lock(&self.sessions).idle.pop() } else { None };
            if let Some(session) = idle {
                if let Ok(done) = work(&session, false) {
                    place.give_back(session);
                    return Ok(done);
                }
                drop(session);
                // What broke one broke all.
                lock(&self.sessions).idle.clear();
            }
            let session = self.open(&context, pin)?;
            let done = work(&session, true)?;
            place.give_back(session);
            Ok(done)
        })
    }

    fn open(&self, context: &Pkcs11, pin: &Pin) -> Result<Session, Fault> {
        let slot = self.slot(context)?;
        let session = context.open_rw_session(slot)?;
        let text = pin.read().map_err(|error| Fault::Other(format!("no PIN: {error:#}")))?;
        let given = Digest::of(text.as_bytes());
        let mut refused = lock(&self.refused);
        if *refused == Some(given) {
            return Err(Fault::Other("the PIN was refused before; it is not tried again".to_owned()));
        }
        match session.login(UserType::User, Some(&AuthPin::from(text.as_str()))) {
            // Of the process, not of the session.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                *refused = None;
                Ok(session)
            }
            Err(
                error @ Error::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _),
            ) => {
                *refused = Some(given);
                Err(Fault::Other(format!("it refuses the PIN ({})", Fault::from(error))))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn slot(&self, context: &Pkcs11) -> Result<Slot, Fault> {
        let mut found = None;
        for slot in context.get_slots_with_token()? {
            // A slot without an answer can be another token's.
            let Ok(info) = context.get_token_info(slot) else { continue };
            if info.label() != self.label {
                continue;
            }
            if found.replace(slot).is_some() {
                return Err(Fault::Other("more than one token has that label".to_owned()));
            }
            if info.user_pin_locked() {
                return Err(Fault::Other("its PIN is locked".to_owned()));
            }
            // A wrong one would lock it for everybody.
            if info.user_pin_final_try() {
                return Err(Fault::Other(
                    "its PIN was given wrongly until one try is left; log in by hand".to_owned(),
                ));
            }
        }
        found.ok_or_else(|| Fault::Absent("there is no token of that label".to_owned()))
    }
}

/// One of the places of a token, given back however the work ends.
struct Place<'t>(&'t Token);

impl<'t> Place<'t> {
    fn take(token: &'t Token) -> Self {
        let sessions = lock(&token.sessions);
        let full = |sessions: &mut Sessions| sessions.in_use >= SESSIONS_MAX;
        let mut sessions = token.returned.wait_while(sessions, full).unwrap_or_else(PoisonError::into_inner);
        sessions.in_use += 1;
        Self(token)
    }

    fn give_back(&self, session: Session) {
        lock(&self.0.sessions).idle.push(session);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut sessions = lock(&self.0.sessions);
        sessions.in_use -= 1;
        drop(sessions);
        self.0.returned.notify_one();
    }
}

/// A token takes milliseconds, and one that is away longer: meanwhile the runtime gives this thread's tasks to another.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}
