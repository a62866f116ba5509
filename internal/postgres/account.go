package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the user that the server runs as when fleetd runs as root.
type account struct {
	name     string
	uid, gid uint32
}

// serverAccount finds the account for the cluster in dataDir. It is nil for
// everybody but root: the server then runs as whoever started it. A cluster that
// exists goes on belonging to whom it belongs to, so that a folder made by a plain
// user can be opened by root too.
func serverAccount(dataDir string) (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if info, err := os.Stat(dataDir); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 {
			return &account{name: "uid " + strconv.Itoa(int(stat.Uid)), uid: stat.Uid, gid: stat.Gid}, nil
		}
	}
	for _, name := range []string{"postgres", "_postgres"} { // the second is that of macOS and the BSDs
		u, err := user.Lookup(name)
		if errors.As(err, new(user.UnknownUserError)) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up the user %s: %w", name, err)
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("look up the user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("look up the user %s: %w", name, err)
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root and there is no user postgres to run it as: " +
		"make one (`useradd --system postgres`), or run fleetd as another user, or give the address of a running database with --database-url")
}

// attr is how a program of PostgreSQL is started: as the account, and in a process
// group of its own, so that a Ctrl-C in the terminal ends fleetd first and the
// database after it.
func (a *account) attr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// mkdir makes the folder dir for the account alone. One that exists keeps what is
// in it; only its owner is set. Its parent belongs to us or is sticky, so nobody
// can put a link in its place.
func (a *account) mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make the database folder: %w", err)
	}
	if a == nil {
		return nil
	}
	if err := os.Chown(dir, int(a.uid), int(a.gid)); err != nil {
		return fmt.Errorf("give the database folder to the user %s: %w", a.name, err)
	}
	return nil
}

// openFolder makes the data folder and the folder of the database in it. For root
// they stay root's, as does what root writes there; the account may pass through
// them to the cluster and the socket, which are its own.
func (a *account) openFolder(dataDir, root string) error {
	mode := fs.FileMode(0o700)
	if a != nil {
		mode = 0o711
	}
	if err := os.MkdirAll(root, mode); err != nil {
		return fmt.Errorf("make the data folder: %w; give another one with --data-dir", err)
	}
	if a == nil {
		return nil
	}
	for _, dir := range []string{dataDir, root} {
		if a.passes(dir) {
			continue
		}
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("look at the data folder: %w", err)
		}
		if err := os.Chmod(dir, info.Mode().Perm()|0o001); err != nil {
			return fmt.Errorf("let the user %s through the data folder: %w", a.name, err)
		}
	}
	return nil
}

// openFile opens or makes a file of ours beside the cluster, for its owner alone. It
// follows no link: the folder may belong to another user than root.
func (a *account) openFile(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil || a == nil {
		return f, err
	}
	if err := f.Chown(int(a.uid), int(a.gid)); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// reach checks that the account can work in dir, by starting the binaries there:
// only the kernel knows about access lists and mount options.
func (a *account) reach(ctx context.Context, b binaries, dir string) error {
	if a == nil {
		return nil
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.dir, "postgres"), "-V")
	cmd.Dir, cmd.SysProcAttr = dir, a.attr()
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("run %s as the user %s: %w", cmd.Path, a.name, err)
	}
	if blocked := a.blockedAt(dir); blocked != "" {
		return fmt.Errorf("the database runs as the user %s because fleetd runs as root, and that user cannot pass the folder %s: "+
			"give a --data-dir elsewhere (such as /var/lib/fleetd), or run fleetd as another user", a.name, blocked)
	}
	return fmt.Errorf("the user %s may not run %s in %s: %w", a.name, cmd.Path, dir, err)
}

// blockedAt is the outermost folder on the way to dir that the account cannot
// pass, judged by permission bits; "" when there is none.
func (a *account) blockedAt(dir string) string {
	blocked := ""
	for ; ; dir = filepath.Dir(dir) {
		if !a.passes(dir) {
			blocked = dir
		}
		if dir == filepath.Dir(dir) {
			return blocked
		}
	}
}

// passes reports whether the permission bits of dir let the account through.
func (a *account) passes(dir string) bool {
	info, err := os.Stat(dir)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	switch {
	case stat.Uid == a.uid:
		return info.Mode()&0o100 != 0
	case stat.Gid == a.gid:
		return info.Mode()&0o010 != 0
	default:
		return info.Mode()&0o001 != 0
	}
}
