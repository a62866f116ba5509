package manifest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"fleetd/internal/fleet"
	"fleetd/internal/remote"
)

// Bounds of a list.
const (
	MaxPageSize = 50   // records that a page may be asked for, and the default
	MaxFind     = 10   // skill IDs that one request may name
	maxPages    = 1000 // ends a walk through a server that never does
)

// The publication statuses of the reference. HIDDEN: nobody new can enable the skill,
// and it goes on where it is enabled.
const (
	PublicationDevelopment   = "DEVELOPMENT"
	PublicationCertification = "CERTIFICATION"
	PublicationCertified     = "CERTIFIED"
	PublicationPublished     = "PUBLISHED"
	PublicationHidden        = "HIDDEN"
	PublicationRemoved       = "REMOVED"
)

// Summary is one stage of a skill: a skill may have one for each.
type Summary struct {
	SkillID           string            `json:"skill_id"`
	Stage             Stage             `json:"stage"`              // as it came
	PublicationStatus string            `json:"publication_status"` // as it came
	NameByLocale      map[string]string `json:"name_by_locale"`
	APIs              []string          `json:"apis"`
	ASIN              string            `json:"asin,omitempty"` // of a published skill
	LastUpdated       *time.Time        `json:"last_updated"`   // nil where the API's is no time
}

// PageParams picks one page of a vendor's skills.
type PageParams struct {
	VendorID string
	Token    string // of the page before; empty: the first
	Size     int    // 1 to MaxPageSize; 0 is MaxPageSize
}

// Page is a part of a list. An empty NextToken ends it; an empty page with a token
// does not.
type Page struct {
	Skills    []Summary
	NextToken string
	RequestID string
}

// Page reads one page of a vendor's skills.
func (c *Client) Page(ctx context.Context, p PageParams) (Page, error) {
	query, err := p.query()
	if err != nil {
		return Page{}, err
	}
	page, cut, err := c.page(ctx, query)
	if err == nil && cut {
		return Page{}, moreNowhere(page)
	}
	return page, err
}

func (p PageParams) query() (url.Values, error) {
	if err := remote.CheckID("vendor_id", p.VendorID); err != nil {
		return nil, err
	}
	if p.Size == 0 {
		p.Size = MaxPageSize
	}
	if p.Size < 1 || p.Size > MaxPageSize {
		return nil, fleet.Invalidf("page_size", "%d is not a page size: the API allows 1 to %d", p.Size, MaxPageSize)
	}
	query := url.Values{"vendorId": {p.VendorID}, "maxResults": {strconv.Itoa(p.Size)}}
	if p.Token != "" {
		query.Set("nextToken", p.Token)
	}
	return query, nil
}

// page also reports whether the API says that there is more without a token.
func (c *Client) page(ctx context.Context, query url.Values) (page Page, cut bool, err error) {
	var body listAnswer
	// The reference prints the path with a slash where official clients have the
	// question mark: GET /v1/skills/vendorId=...
	meta, err := c.remote.Do(ctx, remote.Request{
		API: API, Operation: OpList, Method: http.MethodGet, Path: "/v1/skills", Query: query, Advice: advice(OpList),
	}, &body)
	if err != nil {
		return Page{}, false, judge(err)
	}
	return Page{Skills: body.summaries(), NextToken: body.next(), RequestID: meta.RequestID}, body.IsTruncated && body.next() == "", nil
}

// List walks every page of a vendor's skills. What shows on several pages is kept
// once, where it first stood, as the last page had it. A list is whole or an error: a
// token that came before, more to come without a token, pages without end, and a token
// that the API refuses are errors that are worth another walk.
func (c *Client) List(ctx context.Context, vendorID string) ([]Summary, error) {
	var all merged
	seen := map[string]bool{}
	p := PageParams{VendorID: vendorID}
	asks, begun := ctx, remote.WithBegun(ctx)
	for n := range maxPages {
		query, err := p.query()
		if err != nil {
			return nil, err
		}
		page, cut, err := c.page(asks, query)
		var e *remote.Error
		switch {
		case n > 0 && errors.As(err, &e) && e.Status == http.StatusBadRequest:
			return nil, listError(e.RequestID, "after %d pages the API refuses its own token, so the list is not known: start over", n)
		case err != nil:
			return nil, err
		case cut:
			return nil, moreNowhere(page)
		}
		all.add(page.Skills)
		if page.NextToken == "" {
			return all.items, nil
		}
		if seen[page.NextToken] {
			return nil, listError(page.RequestID, "page %d carries a token that came before: the pages go in a circle, so the list is not known", n+1)
		}
		p.Token = page.NextToken
		seen[p.Token] = true
		asks = begun //nolint:fatcontext // One of two: it does not grow.
	}
	return nil, listError("", "%d pages and no end, so the list is not known", maxPages)
}

// Find reads the summaries of the named skills of a vendor, by MaxFind a request. A
// skill that the vendor does not have is not among them. These requests have no pages;
// where the API cuts an answer short, its half is asked for.
func (c *Client) Find(ctx context.Context, vendorID string, skillIDs ...string) ([]Summary, error) {
	if err := remote.CheckID("vendor_id", vendorID); err != nil {
		return nil, err
	}
	var ids []string
	for _, id := range skillIDs {
		if err := remote.CheckID("skill_id", id); err != nil {
			return nil, err
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	var all merged
	for chunk := range slices.Chunk(ids, MaxFind) {
		if err := c.find(ctx, vendorID, chunk, &all); err != nil {
			return nil, err
		}
	}
	return all.items, nil
}

func (c *Client) find(ctx context.Context, vendorID string, ids []string, all *merged) error {
	page, cut, err := c.page(ctx, url.Values{"vendorId": {vendorID}, "skillId": ids})
	unknown := errors.Is(err, ErrNotFound)
	switch {
	case err != nil && !unknown:
		return err
	case unknown && len(ids) == 1:
		return nil
	case !unknown && !cut && page.NextToken == "":
		all.add(slices.DeleteFunc(page.Skills, func(s Summary) bool { return !slices.Contains(ids, s.SkillID) }))
		return nil
	case len(ids) == 1:
		return listError(page.RequestID, "the answer about one skill is cut short, so it is not known")
	}
	half := len(ids) / 2
	if err := c.find(ctx, vendorID, ids[:half], all); err != nil {
		return err
	}
	return c.find(ctx, vendorID, ids[half:], all)
}

// listError is an answer that was understood and cannot be used.
func listError(requestID, format string, args ...any) error {
	return &remote.Error{
		API: API, Operation: OpList, Status: http.StatusOK, RequestID: requestID,
		Err: fmt.Errorf("%w: "+format, append([]any{remote.ErrUnreadable}, args...)...),
	}
}

func moreNowhere(page Page) error {
	return listError(page.RequestID, "the page says that there is more, and not where, so the list is not known")
}

// merged is summaries without repetition.
type merged struct {
	items []Summary
	at    map[[2]string]int
}

func (m *merged) add(skills []Summary) {
	if m.at == nil {
		m.at = map[[2]string]int{}
	}
	for _, s := range skills {
		key := [2]string{s.SkillID, string(s.Stage)}
		if i, again := m.at[key]; again {
			m.items[i] = s
			continue
		}
		m.at[key] = len(m.items)
		m.items = append(m.items, s)
	}
}
