package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is where the module begins, from this package.
const root = "../.."

// references are the four API references: each operation with the statuses that its
// page documents. They are not in this repository, so they are written down here.
var references = map[string]map[string][]int{
	"residential": {
		"get_enablement":   {200, 400, 401, 403, 404, 429, 500, 503},
		"list_enablements": {200, 400, 401, 403, 429, 500, 503},
		"enable":           {201, 400, 401, 403, 404, 429, 500, 503},
		"disable":          {204, 400, 401, 403, 404, 429, 500, 503},
	},
	"enablement": {
		"enable":             {204, 400, 401, 403, 404, 429, 500, 503},
		"disable":            {204, 400, 401, 403, 404, 429, 500, 503},
		"status":             {204, 400, 401, 403, 404, 429, 500, 503},
		"get_endpoint":       {200, 400, 401, 403, 404, 429, 500, 503},
		"enable_and_link":    {201, 400, 401, 403, 404, 429, 500, 503},
		"disable_and_unlink": {200, 400, 401, 403, 404, 429, 500, 503},
		"customer_status":    {200, 400, 401, 403, 404, 429, 500, 503},
	},
	"manifest": {
		"create_skill":    {202, 400, 401, 403, 404, 429, 500, 503},
		"delete_skill":    {204, 400, 401, 403, 404, 429, 500, 503},
		"get_manifest":    {200, 303, 400, 401, 403, 404, 429, 500, 503},
		"get_status":      {200, 400, 401, 403, 404, 429, 500, 503},
		"list_skills":     {200, 400, 401, 403, 404, 429, 500, 503},
		"update_manifest": {202, 400, 401, 403, 404, 429, 500, 503},
	},
	"notifications": {
		"create_subscriber":   {201, 400, 401, 403, 429, 500, 503},
		"delete_subscriber":   {204, 400, 401, 403, 404, 429, 500, 503},
		"get_subscriber":      {200, 400, 401, 403, 404, 429, 500, 503},
		"list_subscribers":    {200, 400, 401, 403, 404, 429, 500, 503},
		"update_subscriber":   {204, 400, 401, 404, 429, 500, 503},
		"create_subscription": {201, 400, 401, 403, 404, 429, 500, 503},
		"delete_subscription": {204, 400, 401, 403, 404, 429, 500, 503},
		"get_subscription":    {200, 400, 401, 403, 404, 429, 500, 503},
		"list_subscriptions":  {200, 400, 401, 403, 404, 429, 500, 503},
		"update_subscription": {204, 400, 401, 403, 404, 429, 500, 503},
	},
}

// besides are statuses that Amazon's own clients know and no reference has.
var besides = map[string][]string{"enablement": {"enable 409"}, "manifest": {"update_manifest 409", "update_manifest 412"}}

// covered is a row of docs/api-coverage.md.
type covered struct {
	api, operation string
	status         int
	client         string // package.Type.Method
	simulator      string // file: function
	command        string
	clientTest     string // file: function
	simulatorTest  string // file: function
}

// readCoverage reads the tables of docs/api-coverage.md.
func readCoverage(t *testing.T) []covered {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "api-coverage.md"))
	require.NoError(t, err)
	heading := regexp.MustCompile("^## .* \\(`([a-z]+)`\\)$")
	api := ""
	var rows []covered
	for _, line := range strings.Split(string(text), "\n") {
		if m := heading.FindStringSubmatch(line); m != nil {
			api = m[1]
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if api == "" || !strings.HasPrefix(line, "|") || len(cells) != 7 || cells[0] == "operation" {
			require.True(t, api == "" || !strings.HasPrefix(line, "| ") || cells[0] == "operation", "%q is no row of seven cells", line)
			continue
		}
		for i, cell := range cells {
			cells[i] = strings.Trim(cell, "`")
		}
		status, err := strconv.Atoi(cells[1])
		require.NoError(t, err, line)
		rows = append(rows, covered{api, cells[0], status, cells[2], cells[3], cells[4], cells[5], cells[6]})
	}
	return rows
}

// TestTheCoverageTableIsTrue holds docs/api-coverage.md to the references and the code.
func TestTheCoverageTableIsTrue(t *testing.T) {
	t.Parallel()
	rows := readCoverage(t)
	s := &sources{t: t, files: map[string]*ast.File{}}

	got, want := map[string][]string{}, map[string][]string{}
	for _, row := range rows {
		got[row.api] = append(got[row.api], fmt.Sprint(row.operation, " ", row.status))
	}
	for api, operations := range references {
		want[api] = append(want[api], besides[api]...)
		for operation, statuses := range operations {
			for _, status := range statuses {
				want[api] = append(want[api], fmt.Sprint(operation, " ", status))
			}
		}
	}
	for api := range want {
		require.ElementsMatch(t, want[api], got[api], "operations and statuses of %s", api)
	}
	require.Len(t, got, len(want))

	clients, commands := map[string]string{}, newRoot(newProgram(strings.NewReader(""), &lockedBuffer{}, &lockedBuffer{}))
	for _, row := range rows {
		what := fmt.Sprintf("%s %s %d", row.api, row.operation, row.status)
		parts := strings.Split(row.client, ".")
		require.Len(t, parts, 3, "%s: %s is not package.Type.Method", what, row.client)
		require.Equal(t, row.api, parts[0], what)
		require.True(t, s.hasMethod(filepath.Join("internal", parts[0]), parts[1], parts[2]), "%s: there is no client method %s", what, row.client)
		operation := row.api + " " + row.operation
		require.Contains(t, []string{"", operation}, clients[row.client], "%s: one method is one operation", what)
		clients[row.client] = operation
		require.Contains(t, s.labels(filepath.Join("internal", parts[0])), row.operation, "%s: the client has no such operation label", what)

		file, function := fileAndFunction(t, row.simulator)
		require.NotNil(t, s.function(file, function), "%s: there is no %s", what, row.simulator)

		command, rest, err := commands.Find(strings.Fields(row.command))
		require.NoError(t, err, what)
		require.Empty(t, rest, "%s: there is no command %s", what, row.command)
		require.Equal(t, "fleetctl "+row.command, command.CommandPath(), what)
		require.False(t, command.HasSubCommands(), "%s: %s is a noun", what, row.command)

		file, function = fileAndFunction(t, row.clientTest)
		require.NotNil(t, s.function(file, function), "%s: there is no %s", what, row.clientTest)
		require.True(t, s.names(file, row.status), "%s: %s never says %d", what, file, row.status)
		file, function = fileAndFunction(t, row.simulatorTest)
		require.NotNil(t, s.function(file, function), "%s: there is no %s", what, row.simulatorTest)
	}
}

// fileAndFunction splits "file: function".
func fileAndFunction(t *testing.T, s string) (file, function string) {
	t.Helper()
	file, function, ok := strings.Cut(s, ": ")
	require.True(t, ok, "%q is not FILE: FUNCTION", s)
	return file, function
}

// sources are the parsed files of the module.
type sources struct {
	t     *testing.T
	files map[string]*ast.File
}

func (s *sources) file(path string) *ast.File {
	if f := s.files[path]; f != nil {
		return f
	}
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.SkipObjectResolution)
	require.NoError(s.t, err)
	s.files[path] = f
	return f
}

// function is the function or method of a name in a file, or nil.
func (s *sources) function(path, name string) *ast.FuncDecl {
	for _, d := range s.file(path).Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == name {
			return f
		}
	}
	return nil
}

// folder lists the files of a package that are not tests.
func (s *sources) folder(dir string) []string {
	paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	require.NoError(s.t, err)
	paths = slices.DeleteFunc(paths, func(p string) bool { return strings.HasSuffix(p, "_test.go") })
	for i, p := range paths {
		paths[i] = strings.TrimPrefix(filepath.ToSlash(p), root+"/")
	}
	require.NotEmpty(s.t, paths, dir)
	return paths
}

// hasMethod reports whether a package has an exported method of a type.
func (s *sources) hasMethod(dir, typ, method string) bool {
	return ast.IsExported(method) && slices.ContainsFunc(s.folder(dir), func(path string) bool {
		f := s.function(path, method)
		if f == nil || f.Recv == nil {
			return false
		}
		star, ok := f.Recv.List[0].Type.(*ast.StarExpr)
		if !ok {
			return false
		}
		name, ok := star.X.(*ast.Ident)
		return ok && name.Name == typ
	})
}

// labels are the values of a package's constants whose names begin with Op.
func (s *sources) labels(dir string) []string {
	var all []string
	for _, path := range s.folder(dir) {
		ast.Inspect(s.file(path), func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || !strings.HasPrefix(spec.Names[0].Name, "Op") || len(spec.Values) != 1 {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				word, err := strconv.Unquote(lit.Value)
				require.NoError(s.t, err)
				all = append(all, word)
			}
			return true
		})
	}
	return all
}

// names reports whether a file says a status, as a number or by its name in net/http.
func (s *sources) names(path string, status int) bool {
	word := "Status" + strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(status))
	found := false
	ast.Inspect(s.file(path), func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BasicLit:
			found = found || n.Kind == token.INT && n.Value == strconv.Itoa(status)
		case *ast.SelectorExpr:
			found = found || n.Sel.Name == word
		}
		return !found
	})
	return found
}
