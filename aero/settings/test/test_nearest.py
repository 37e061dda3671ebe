"""
Tests for the nearest names.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from aero.settings import nearestName, unknownVariables, variables

KNOWN = list(variables())


class NearestTests(SynchronousTestCase):
    """
    L{nearestName} and L{unknownVariables}.
    """

    def test_nearest(self) -> None:
        """
        The name that was meant is found, with the prefix or without, and nothing far away.
        """
        for name, expected in (
            ("AERO_DOMIAN", "AERO_DOMAIN"),
            ("AERO_SERVICE", "AERO_SERVICES"),
            ("AERO_L2_AUTHMODE", "AERO_L2_AUTH_MODE"),
            ("AERO_LOG_LEVEL", "LOG_LEVEL"),
            ("AERO_REDIS_URL", "REDIS_URL"),
            ("WORKERS", "AERO_WORKERS"),
            ("AERO_COLOUR_OF_THE_SKY", ""),
        ):
            self.assertEqual(nearestName(name, KNOWN), expected, name)

    def test_unknown(self) -> None:
        """
        Only variables with the prefix count. Known ones, those of the compose file and those that
        Kubernetes sets are left out.
        """
        environ = {
            "AERO_DOMAIN": "example.com",
            "AERO_DOMIAN": "example.com",
            "AERO_HTPS_PORT": "8443",
            "AERO_IMAGE": "aero:dev",
            "AERO_SERVICE_HOST": "10.0.0.1",
            "AERO_SERVICE_PORT_HTTPS": "443",
            "AERO_GATEWAY_SERVICE_HOST": "10.0.0.2",
            "AERO_PORT": "tcp://10.0.0.1:443",
            "AERO_PORT_443_TCP_ADDR": "10.0.0.1",
            "AEROPLANE": "1",
            "PATH": "/bin",
        }
        self.assertEqual(
            list(unknownVariables(environ, KNOWN)),
            [("AERO_DOMIAN", "AERO_DOMAIN"), ("AERO_HTPS_PORT", "AERO_HTTPS_PORT")],
        )

    def test_everySettingIsKnown(self) -> None:
        """
        No setting is reported.
        """
        self.assertEqual(list(unknownVariables(dict.fromkeys(KNOWN, "1"), KNOWN)), [])
