"""The errors of passwords and pulls, named after what the operator does next."""

from fleet.errors import FleetError, TemporaryError


class PasswordSlotsTakenError(FleetError):
    """Free a password slot: both hold passwords that somebody else may use."""


class PasswordEndsError(FleetError):
    """Rotate before the date, and bring the site online for it: a password in use ends soon."""


class PasswordUnmarkedError(FleetError):
    """Onboard or adopt the site: a pull secret does not say which password it holds."""


class PullTargetMissingError(FleetError):
    """Create the namespace or service account, or take it out of the fleet file."""


class SitePortClosedError(FleetError):
    """Look at the node's firewall and kube-proxy: it does not reach the site's registry."""


class SiteRegistryUnreachableError(TemporaryError):
    """Wait, or look at the registry's pod: it did not answer."""


class SiteRegistrySilentError(FleetError):
    """Look at the site's registry: it answers, but not as a registry does."""


class SiteSchemeError(FleetError):
    """Make chart.http_enabled fit the site's registry: one speaks http, the other https."""


class SiteCertificateError(FleetError):
    """Issue the certificate of the site's registry again, or give its CA: nodes would refuse it."""


class SiteAuthorityError(FleetError):
    """Mend the CA that chart.tls names: nodes could not verify the site's registry with it."""


class SiteAuthorityMissingError(TemporaryError):
    """Wait for cert-manager, or name another chart.tls.ca_secret: it holds no CA yet."""


class SiteTokenRefusedError(FleetError):
    """Look at the client token: the site's registry refuses the pull secret's password."""


class SiteImageMissingError(FleetError):
    """Look at the repositories that the site mirrors: it does not have the image."""


class SiteImageDiffersError(FleetError):
    """Wait for the next sync, or look at it: the site serves another digest than Azure."""


class NodePullFailedError(FleetError):
    """Look at the node's containerd.log: it could not pull from the site's registry."""
