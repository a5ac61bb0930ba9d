//! A token of an authority that is not `openssl`: GitHub's (staging, 2023), made by a Go program. From sigstore-go, Apache-2.0,
//! `examples/bundle-with-timestamp.json` and `examples/trusted-root-with-tsa.json` (commit d121c90). It is over the signature of the bundle.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::CertificateDer;
use silkgate_timestamp::{Trust, verify};

/// TimeStampResp: granted, with the token behind the first 9 bytes.
const RESPONSE: &str = "\
MIIE5DADAgEAMIIE2wYJKoZIhvcNAQcCoIIEzDCCBMgCAQExDTALBglghkgBZQMEAgEwgdAGCyqGSIb3DQEJEAEEoIHABIG9MIG6AgEBBgkrBgEEAYO/MAIwMTANBglg\
hkgBZQMEAgEFAAQgVlLiuSFtSRrEEo481g6BOSkU53wPDyS47glKFvnJKwsCFFhXIreJkz35TePVSocebmAWm2GEGA8yMDIzMDUwODIxNDIwNVowAwIBAQIJAJwHXZEf\
qIVpoECkPjA8MRUwEwYDVQQKEwxHaXRIdWIsIEluYy4xIzAhBgNVBAMTGlRTQSBUaW1lc3RhbXBpbmcgLSBzdGFnaW5noIICFjCCAhIwggGYoAMCAQICFDT3hCGBeQbp\
wiLiE1rIhWSKcVh0MAoGCCqGSM49BAMDMDwxFTATBgNVBAoTDEdpdEh1YiwgSW5jLjEjMCEGA1UEAxMaVFNBIGludGVybWVkaWF0ZSAtIHN0YWdpbmcwHhcNMjMwNDE5\
MDAwMDAwWhcNMjQwNDE4MDAwMDAwWjA8MRUwEwYDVQQKEwxHaXRIdWIsIEluYy4xIzAhBgNVBAMTGlRTQSBUaW1lc3RhbXBpbmcgLSBzdGFnaW5nMFkwEwYHKoZIzj0C\
AQYIKoZIzj0DAQcDQgAE1gDINQRBwM29Nzx1CiYkSWXV3CiC9Cv5LN2JauReWA0SMVDeKPMniGgll2uotes4vJ1zBbGvt162DPJlMovReqN4MHYwDgYDVR0PAQH/BAQD\
AgeAMAwGA1UdEwEB/wQCMAAwHQYDVR0OBBYEFK/kWXXEzaN9adxbkdKWo3pXJ6+NMB8GA1UdIwQYMBaAFDo7boyDilyHtR3yvnfhRm8jdCbUMBYGA1UdJQEB/wQMMAoG\
CCsGAQUFBwMIMAoGCCqGSM49BAMDA2gAMGUCMBA8k6lWZgW51t+uGLSZUWSYNfdbBYDluZXCUYy6EJTtY91YkELMZVavy8eLJt6s5AIxAO/DSzxLMh2z1d0M6xb20NxM\
XByiMujBOGysHm6MvxhbG5zACG3v7NVwsEjSbI5hzDGCAcUwggHBAgEBMFQwPDEVMBMGA1UEChMMR2l0SHViLCBJbmMuMSMwIQYDVQQDExpUU0EgaW50ZXJtZWRpYXRl\
IC0gc3RhZ2luZwIUNPeEIYF5BunCIuITWsiFZIpxWHQwCwYJYIZIAWUDBAIBoIIBATAaBgkqhkiG9w0BCQMxDQYLKoZIhvcNAQkQAQQwHAYJKoZIhvcNAQkFMQ8XDTIz\
MDUwODIxNDIwNlowLwYJKoZIhvcNAQkEMSIEIBHHeMSmABaRGssxZ9ougTDHhmPoT858dF+/Z6gpOmTaMIGTBgsqhkiG9w0BCRACLzGBgzCBgDB+MHwEIG5+B3wMt6ip\
6VHlHWyhmo+pj0v8Do42J13m1b7CKVBoMFgwQKQ+MDwxFTATBgNVBAoTDEdpdEh1YiwgSW5jLjEjMCEGA1UEAxMaVFNBIGludGVybWVkaWF0ZSAtIHN0YWdpbmcCFDT3\
hCGBeQbpwiLiE1rIhWSKcVh0MAoGCCqGSM49BAMCBEgwRgIhAK72SuxxRzcpqwC+yE5tNnnhBvZlFVU/BX9erGPRvffdAiEA5gNnJV1/L5ES9o5rgF+wBqX1W20Njr75\
2E1OOHRFVU4=";
/// What it is over.
const SIGNATURE: &str =
    "MEUCIFjT0TYLtg/Vka7KWTollL+eUvO/KlLCP/AWYjB/UL07AiEAt0o5gGRGrAIvmr5EsI4FNXyDJX3jqwZQNqV7sjudJKI=";
/// "TSA intermediate - staging", until 2028. The token does not carry it.
const INTERMEDIATE: &str = "\
MIICOTCCAb6gAwIBAgIUb76JFFG6ZAMk2WiM701uas/R+8IwCgYIKoZIzj0EAwMwQjEVMBMGA1UEChMMR2l0SHViLCBJbmMuMSkwJwYDVQQDEyBJbnRlcm5hbCBTZXJ2\
aWNlcyBSb290IC0gc3RhZ2luZzAeFw0yMzA0MTkwMDAwMDBaFw0yODA0MTcwMDAwMDBaMDwxFTATBgNVBAoTDEdpdEh1YiwgSW5jLjEjMCEGA1UEAxMaVFNBIGludGVy\
bWVkaWF0ZSAtIHN0YWdpbmcwdjAQBgcqhkjOPQIBBgUrgQQAIgNiAARvlhn8J+iSEIpolIBtyV7a4iKVf4W/M0u5WlAYPQl07Egt03ZU9o3enYVfYCJb20/c9fDtvxyV\
oXZvuUpcJ19thIcks0/EACA/mU+ez6Q8elkNWDDqK2G77oUGFfMaOCujezB5MA4GA1UdDwEB/wQEAwIBBjATBgNVHSUEDDAKBggrBgEFBQcDCDASBgNVHRMBAf8ECDAG\
AQH/AgEAMB0GA1UdDgQWBBQ6O26Mg4pch7Ud8r534UZvI3Qm1DAfBgNVHSMEGDAWgBRe7TqH0+tcWvxptMrEYZexojFBwzAKBggqhkjOPQQDAwNpADBmAjEAwfxr1QVH\
c3uA2i7FD34OMEA3+ebJqZ35cIZHMl7kDaRFPqu8XXgZB9n9fH4b1vh5AjEAgHmHqwGC5A8gJ830+g769vgYDG4TU04pwUxxbzr5xncB4qLHHay+Cjdqawy91cqT";

#[test]
fn a_token_made_elsewhere_verifies_years_later() {
    let decode = |text: &str| BASE64_STANDARD.decode(text).unwrap();
    let (response, signature) = (decode(RESPONSE), decode(SIGNATURE));
    let token = &response[9..];
    let anchor = CertificateDer::from(decode(INTERMEDIATE));
    let verified = verify(token, &signature, &Trust::Anchors(&[anchor])).unwrap();
    // 2023-05-08T21:42:05Z; the certificate ended in 2024.
    assert_eq!(verified.statement.at_ms, 1_683_582_125_000);
    assert_eq!(verified.statement.policy, "1.3.6.1.4.1.57264.2");
    assert_eq!(verified.statement.serial, "585722b789933df94de3d54a871e6e60169b6184");
    assert_eq!(verified.tsa, "O=GitHub, Inc., CN=TSA Timestamping - staging");
    assert_eq!(verified.statement.accuracy.unwrap().micros, 1_000_000);
    assert!(verify(token, &signature[1..], &Trust::Enclosed).is_err());
}
