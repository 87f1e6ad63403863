"""The TAP device: open, attach, offloads, addresses of the link layer.

Layer 2. A TAP made here vanishes with its descriptor, so nothing needs undoing after a
kill. Ioctl numbers are those of <linux/if_tun.h>, equal on all architectures we build for.
"""

import errno
import fcntl
import posix
import struct

from sevpn.errors import HostError

TUN_DEVICE = "/dev/net/tun"
TUNSETIFF = 0x400454CA
TUNSETOFFLOAD = 0x400454D0
TUNSETVNETHDRSZ = 0x400454D8
SIOCSIFHWADDR = 0x8924
ARPHRD_ETHER = 1
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
IFF_TUN_EXCL = 0x8000
TUN_F_CSUM = 0x01
TUN_F_TSO4 = 0x02
TUN_F_TSO6 = 0x04
TUN_F_TSO_ECN = 0x08
TUN_F_USO4 = 0x20
TUN_F_USO6 = 0x40
VNET_HEADER_BYTES = 10

_DOCKER_HINT = "run it as root; in a container add --device /dev/net/tun --cap-add NET_ADMIN"
_DEVICE = (10, 200)  # Documentation/admin-guide/devices.txt


class Tap:
    """An attached TAP device; `close` removes it from the system."""

    __slots__ = ("fd", "name", "tso", "uso", "vnet_header")

    def __init__(self, fd: int, name: str, vnet_header: bool, tso: bool, uso: bool) -> None:
        self.fd = fd
        self.name = name
        self.vnet_header = vnet_header  # each read and write carries a virtio header
        self.tso = tso  # TCP super-frames may be read and written
        self.uso = uso  # UDP ones too

    def close(self) -> None:
        """Close the descriptor; the kernel removes the interface."""
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1

    def set_mac(self, mac: bytes) -> None:
        """Give the interface its MAC. Raises HostError."""
        request = struct.pack("16sH6s16x", self.name.encode(), ARPHRD_ETHER, mac)
        try:
            fcntl.ioctl(self.fd, SIOCSIFHWADDR, request)
        except OSError as error:
            raise HostError(
                f"cannot give {self.name} the MAC {mac.hex(':')}: {error.strerror}",
                "give another one with -mac",
                error.errno or 0,
            ) from error

    def offloads(self) -> str:
        """Name the offloads in use, for the log."""
        names = [n for n, on in (("TSO", self.tso), ("USO", self.uso)) if on]
        return " ".join(names) or "none"


def _open_failure(error: OSError) -> HostError:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return HostError(
            f"there is no {TUN_DEVICE}: the TUN driver is missing here",
            "modprobe tun; in a container add --device /dev/net/tun --cap-add NET_ADMIN",
            error.errno,
        )
    is_cgroup = error.errno == errno.EPERM and posix.geteuid() == 0
    return HostError(
        f"cannot open {TUN_DEVICE}: {posix.strerror(error.errno or 0).lower()}",
        "the container's device rules forbid it: add --device /dev/net/tun (Kubernetes: a device "
        "plugin)"
        if is_cgroup
        else _DOCKER_HINT,
        error.errno or 0,
    )


def _attach_failure(error: OSError, name: str) -> HostError:
    code = error.errno or 0
    if code == errno.EPERM:
        return HostError(
            "no permission to make a TAP device: CAP_NET_ADMIN is missing", _DOCKER_HINT, code
        )
    if code == errno.EBUSY:
        return HostError(
            f"the interface {name} exists already", "choose another name with -tap", code
        )
    return HostError(
        f"cannot make the TAP device {name or '(automatic name)'}: {posix.strerror(code).lower()}",
        "check the name given with -tap",
        code,
    )


def _open_device() -> int:
    """Open the driver. Where its node is missing, as in most containers, one is made for the
    moment, if that is allowed. Raises OSError.
    """
    flags = posix.O_RDWR | posix.O_NONBLOCK | posix.O_CLOEXEC
    try:
        return posix.open(TUN_DEVICE, flags)
    except FileNotFoundError as missing:
        node = f"/dev/sevpn-tun-{posix.getpid()}"
        try:
            posix.mknod(node, 0o20600, posix.makedev(*_DEVICE))
        except OSError:
            raise missing from None
        try:
            return posix.open(node, flags)
        finally:
            posix.unlink(node)


def open_tap(name: str, offload: bool) -> Tap:
    """Make a TAP device called `name` ("" = the kernel chooses tap0, tap1, …).

    With `offload`, virtio headers and segmentation offloads are switched on as far as the
    kernel has them; what it lacks is left out silently (Tap.offloads tells).

    Raises HostError naming the cause and the remedy.
    """
    try:
        fd = _open_device()
    except OSError as error:
        raise _open_failure(error) from error
    try:
        flags = IFF_TAP | IFF_NO_PI | (IFF_VNET_HDR if offload else 0)
        if name:
            flags |= IFF_TUN_EXCL  # never attach to somebody else's persistent device
        request = struct.pack("16sH22x", name.encode(), flags)
        try:
            answer = fcntl.ioctl(fd, TUNSETIFF, request)
        except OSError as error:
            raise _attach_failure(error, name) from error
        real_name = answer[:16].split(b"\0", 1)[0].decode()
        tso = uso = False
        if offload:
            try:
                fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", VNET_HEADER_BYTES))
            except OSError as error:
                raise _attach_failure(error, name) from error
            tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN
            tso = _set_offload(fd, tcp)
            uso = tso and _set_offload(fd, tcp | TUN_F_USO4 | TUN_F_USO6)
        return Tap(fd, real_name, offload, tso, uso)
    except BaseException:
        posix.close(fd)
        raise


def _set_offload(fd: int, bits: int) -> bool:
    try:
        fcntl.ioctl(fd, TUNSETOFFLOAD, bits)
    except OSError:
        return False
    return True
