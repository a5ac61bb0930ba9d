//! Certificates that exchange rests on, and until when they are valid: ours, partners' by their cards, clients' of the
//! national plane.

use rustls_pki_types::CertificateDer;
use silkgate_certs::read_identity;
use silkgate_message::instant::Instant;
use silkgate_message::jws::{Digest, SigningCertificate};

use crate::gateway::Gateway;

/// A certificate in use.
pub struct Certificate {
    /// What for.
    pub name: &'static str,
    /// Whose: a state, a party, or the name of an operator.
    pub holder: String,
    /// The beginning of its SHA-256: two may be in use while one follows the other.
    pub sha256: String,
    from: Option<Instant>,
    /// When it runs out.
    pub until: Instant,
}

impl Certificate {
    fn read(name: &'static str, holder: &str, der: &[u8]) -> Option<Self> {
        let identity = read_identity(der).ok()?;
        let at = |time: time::OffsetDateTime| Instant::from_seconds(time.unix_timestamp());
        Some(Self {
            name,
            holder: holder.to_owned(),
            sha256: short(&Digest::of(der)),
            from: Some(at(identity.not_before)),
            until: at(identity.not_after),
        })
    }

    fn signing(name: &'static str, holder: &str, certificate: &SigningCertificate) -> Self {
        Self {
            name,
            holder: holder.to_owned(),
            sha256: short(&certificate.thumbprint),
            from: Some(certificate.not_before),
            until: certificate.not_after,
        }
    }

    /// Why it is not valid now.
    pub fn invalid(&self, now: Instant) -> Option<String> {
        let Self { name, from, until, .. } = self;
        match from {
            Some(from) if now < *from => Some(format!("the certificate `{name}` is valid from {from} on")),
            _ if now > *until => Some(format!("the certificate `{name}` ran out at {until}")),
            _ => None,
        }
    }
}

/// Ours: without any of these no message comes in, or none goes out.
pub fn own(gateway: &Gateway) -> Vec<Certificate> {
    let (keys, country) = (gateway.keys(), gateway.country());
    let holder = country.as_str();
    let chain = |leaf: &'static str, above: &'static str, chain: &[CertificateDer<'static>]| {
        let named = chain.iter().enumerate().map(|(place, der)| (if place == 0 { leaf } else { above }, der));
        named.filter_map(|(name, der)| Certificate::read(name, holder, der)).collect::<Vec<_>>()
    };
    let mut own = chain("tls", "tls_ca", &keys.tls.chain);
    let mut add = |more: Option<Certificate>| {
        if let Some(more) = more
            && own.iter().all(|known| known.sha256 != more.sha256)
        {
            own.push(more);
        }
    };
    add(keys.tls_anchor.as_ref().and_then(|der| Certificate::read("tls_ca", holder, der)));
    add(Some(Certificate::signing("message", holder, &keys.message_certificate)));
    chain("national", "national_ca", &keys.national.chain).into_iter().for_each(|more| add(Some(more)));
    add(Certificate::read("national_ca", holder, &keys.national_anchor));
    own
}

/// All: ours, those on the cards of partners that were not removed, and those of registered clients.
pub fn all(gateway: &Gateway) -> Vec<Certificate> {
    let directory = gateway.directory();
    let mut all = own(gateway);
    for partner in directory.partners().filter(|partner| partner.state != "removed") {
        let holder = partner.country.as_str();
        let anchors = partner.card.content().tls_anchors.iter();
        all.extend(anchors.filter_map(|der| Certificate::read("tls_ca", holder, der)));
        all.extend(partner.signing.iter().map(|signing| Certificate::signing("message", holder, signing)));
    }
    all.extend(directory.clients().map(|(certificate, client)| Certificate {
        name: "client",
        holder: client.subject.clone(),
        sha256: short(certificate),
        from: None,
        until: client.until,
    }));
    all
}

/// Sixteen hexadecimal digits, as `openssl x509 -fingerprint -sha256` begins.
fn short(digest: &Digest) -> String {
    digest.0.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
