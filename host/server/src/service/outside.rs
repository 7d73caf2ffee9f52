//! The outside services on which admission relies, and what is known about them.

use super::revocation_refresh::Lists;
use crate::certificate_issuing::CertificateIssuing;
use crate::directory::Directories;
use crate::identity_providers::IdentityProviders;

/// Identity providers, directories, issuers of certificates, and the publishers of revocation lists.
pub struct Outside {
    identity_providers: IdentityProviders,
    directories: Directories,
    certificate_issuing: CertificateIssuing,
    lists: Lists,
}

impl Outside {
    pub(super) fn new(
        identity_providers: IdentityProviders,
        directories: Directories,
        certificate_issuing: CertificateIssuing,
    ) -> Self {
        Self { identity_providers, directories, certificate_issuing, lists: Lists::default() }
    }

    /// The keys of identity providers.
    pub fn identity_providers(&self) -> &IdentityProviders {
        &self.identity_providers
    }

    /// The directories whose accounts are devices.
    pub fn directories(&self) -> &Directories {
        &self.directories
    }

    /// The issuers of certificates for devices.
    pub fn certificate_issuing(&self) -> &CertificateIssuing {
        &self.certificate_issuing
    }

    /// The state of fetching revocation lists.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }
}
