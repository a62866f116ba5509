package postgres

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// NotInstalledError says that the machine has no PostgreSQL that can be used.
type NotInstalledError struct {
	Install string // the command that mends it
	TooOld  string // what was found and is too old, if anything
	Major   int    // the version that Dir needs; 0 for any
	Dir     string
}

// Error names the command that installs what is missing.
func (e *NotInstalledError) Error() string {
	switch {
	case e.Major != 0:
		return fmt.Sprintf("PostgreSQL is not installed, and the database in %s needs version %d of it: install it (`%s`), or give the address of a running one with --database-url",
			e.Dir, e.Major, e.Install)
	case e.TooOld != "":
		return fmt.Sprintf("the installed PostgreSQL is too old (%s; %d or newer is needed): install a newer one (`%s`), or give the address of a running one with --database-url",
			e.TooOld, minMajor, e.Install)
	default:
		return fmt.Sprintf("PostgreSQL is not installed: install it (`%s`), or give the address of a running one with --database-url", e.Install)
	}
}

// VersionError says that a database folder was made by another major version of
// PostgreSQL than the ones installed. Nothing was changed.
type VersionError struct {
	Dir   string // the database folder
	Major int    // the version that made it
	Found string // what is installed: "15 in /usr/lib/postgresql/15/bin"
}

// Error names the folder, both versions and the three ways on.
func (e *VersionError) Error() string {
	return fmt.Sprintf("the database in %s was made by PostgreSQL %d, and installed is %s: "+
		"install PostgreSQL %d beside it, or carry the data over with pg_upgrade, or move the folder away to start with an empty database",
		e.Dir, e.Major, e.Found, e.Major)
}

// installCommand is how PostgreSQL's server is installed here.
func installCommand() string {
	if runtime.GOOS == "darwin" {
		return "brew install postgresql@17"
	}
	return installCommandFor(osRelease("/etc/os-release"))
}

// installCommandFor takes the values of ID and ID_LIKE of os-release(5), the most
// telling first.
func installCommandFor(ids []string) string {
	for _, id := range ids {
		switch id {
		case "debian", "ubuntu":
			return "sudo apt-get install -y postgresql"
		case "fedora", "rhel", "centos", "amzn":
			return "sudo dnf install -y postgresql-server"
		case "alpine":
			return "apk add postgresql"
		case "arch":
			return "sudo pacman -S postgresql"
		case "suse", "opensuse":
			return "sudo zypper install postgresql-server"
		}
	}
	return "the package manager's postgresql server package"
}

// osRelease reads ID, then ID_LIKE; empty when there is no such file.
func osRelease(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	values := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		values[key] = strings.Trim(value, `"'`)
	}
	return append([]string{values["ID"]}, strings.Fields(values["ID_LIKE"])...)
}
